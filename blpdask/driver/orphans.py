"""End a worker's nanny when the process that started it is gone.

A nanny that has once reported to its scheduler leaves with it. One that is still
starting would wait for its scheduler for ever.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

#: Variable that holds the process to leave with.
PARENT = "BLPDASK_PARENT"
#: Seconds between two looks.
EVERY = 1.0


def dask_setup(nanny: Any) -> None:
    """Watch the parent process from a thread; Dask calls this in the nanny."""
    del nanny
    parent = int(os.environ[PARENT])
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End this process, and with it its worker, when its parent has changed."""
    while os.getppid() == parent:
        time.sleep(EVERY)
    os._exit(1)
