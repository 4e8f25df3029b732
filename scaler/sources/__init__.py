"""Where measurements come from. A source is asked in a thread; only libraries that block have threads of their own.

prometheus   the customer's prometheus-api-client, over requests
kubernetes   the official client's connection: token rotation, exec plug-ins and certificates are hard to do again
pages        coroutines over one aiohttp session (`http.py`), with rules for the addresses of strangers
"""
