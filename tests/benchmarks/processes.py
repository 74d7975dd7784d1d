"""What this process and those that it started hold in memory, and what they use.

The functions are also sent to workers, each of which answers for its own process.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

STATUS = Path("/proc/self/status")
#: Bytes a unit of ru_maxrss: kilobytes, but on macOS.
UNIT = 1 if sys.platform == "darwin" else 1024


def peak_bytes() -> int:
    """Give the peak of this process's resident memory.

    Where Linux says it of the program alone, that is taken: ``ru_maxrss`` begins at
    what the parent held when it started this process.
    """
    if STATUS.exists():
        for line in STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


def resident_bytes() -> int:
    """Give this process's resident memory now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def family_seconds() -> float:
    """Give the CPU seconds of this process and of all that it started and that live."""
    import psutil

    children = psutil.Process().children(recursive=True)
    times = [child.cpu_times() for child in children]
    return time.process_time() + sum(t.user + t.system for t in times)
