"""Threads of the linear algebra library."""

import contextlib
import functools
import threading

import threadpoolctl

_LOCK = threading.Lock()
_users = 0
_limit = None


@functools.cache
def _controller():
    return threadpoolctl.ThreadpoolController()


@contextlib.contextmanager
def one_thread_each():
    """Products use one thread each meanwhile, in this whole process; several callers may overlap.

    Threads that multiply by themselves wait for nobody. A library that shares out each product
    waits for its slowest thread each time, which is long where other processes want the processors.
    """
    global _users, _limit
    with _LOCK:
        _users += 1
        if _users == 1:
            _limit = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _LOCK:
            _users -= 1
            if _users == 0:
                _limit.restore_original_limits()
