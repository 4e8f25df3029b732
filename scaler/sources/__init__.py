"""Where measurements come from. Blocking libraries only, and only in threads.

prometheus   the customer's prometheus-api-client, over requests
kubernetes   the official client's connection: token rotation, exec plug-ins and certificates are hard to do again
pages        http.client, with rules for the addresses of strangers (`http.py`)
"""
