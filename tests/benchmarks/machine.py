"""Which machine and which versions the numbers belong to."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("blpdask", "pyblp", "xlogit", "numpy", "scipy", "numba", "pandas")


def describe_machine(*, quick: bool) -> dict[str, str]:
    """Say date, processor, versions and how threads were limited."""
    from threadpoolctl import threadpool_info

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    blas = sorted(
        f"{library['internal_api']} {library['version']}"
        for library in threadpool_info()
        if library["user_api"] == "blas"
    )
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {cores or os.cpu_count()} cores usable",
        "system": f"{platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "BLAS": ", ".join(dict.fromkeys(blas)) or "not known",
        "threads": "one for both packages, unless the measure says otherwise",
        "load average at the start": load_average(),
    }
    if quick:
        facts["QUICK"] = "tiny problems: these times mean nothing"
    return facts


def load_average() -> str:
    """Say how busy the machine was in the last minute."""
    if not hasattr(os, "getloadavg"):
        return "not known"
    return f"{os.getloadavg()[0]:.2f}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """Name the processor as Linux does, or as Python can."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "not known"
