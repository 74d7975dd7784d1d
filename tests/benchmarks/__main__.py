"""Run the benchmarks on one thread: ``python -m tests.benchmarks [CASE ...]``.

Numerical libraries read how many threads they may use when they are loaded, so that is
said before anything else is imported.
"""

from __future__ import annotations

import os
import sys

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def main() -> None:
    """Hold libraries at one thread and run the command."""
    assert "numpy" not in sys.modules, "numpy was loaded before threads were limited"
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    from .command import run_command

    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
