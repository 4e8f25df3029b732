"""Libraries that take long to import are imported when they are first needed, by one thread at a time.

Two threads that import modules which need each other (`requests` by way of a Prometheus, and by way of Kubernetes) can
each hold what the other waits for; Python then gives one of them a module that is only half there, and that fails.
"""

import threading

IMPORTING = threading.Lock()  # held while one of these is imported for the first time
