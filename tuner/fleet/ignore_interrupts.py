"""Loaded by the Dask workers of a local cluster: Ctrl-C is the business of who started them."""

import signal
import threading

if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
