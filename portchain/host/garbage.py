"""Keeps Python from looking for garbage while many objects are made that are none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Do not look for cyclic garbage during a block, which should last for seconds at most.

    Each time that the number of objects has grown by a quarter, Python looks at all of them. That
    is a fifth of the processor time of computing many chains, which makes no cycles.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
