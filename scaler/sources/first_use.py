"""One at a time: the imports that threads make on first use, since they are dear and not everybody needs them.

Two threads that first import different parts of one package, as `requests` and the Kubernetes client that uses it, may
find each other's part half made: the import system prefers that to a deadlock, and the thread ends with an ImportError.
"""

import threading

IMPORTING = threading.Lock()  # held around every such import of sources
