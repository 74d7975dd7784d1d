"""How long a user waits before anything is estimated.

Every number is of a whole fresh process, Python's own start included. blpdask imports
a name when it is first used, so the import of all its public names is shown too. The
first solve compiles kernels into an empty cache; the second finds them there.
"""

from __future__ import annotations

import sys
import tempfile
from statistics import median

from ..measure import Settings, Span, run_child, time_process
from ..packages import Package
from ..problems import Size
from ..table import Row, time_rows

SIZE = Size(T=20, J=5, I=20, K2=2)
PYTHON = sys.executable
COMMANDS = {
    "import pyblp": [PYTHON, "-c", "import pyblp"],
    "import blpdask": [PYTHON, "-c", "import blpdask"],
    "all names": [PYTHON, "-c", "from blpdask import *"],
    "help": [PYTHON, "-m", "blpdask.cli", "--help"],
    "nothing": [PYTHON, "-c", "pass"],
}


def run(case: str, settings: Settings) -> list[Row]:
    """Time processes."""
    spans: dict[str, list[Span]] = {name: [] for name in COMMANDS}
    first: list[Span] = []
    second: list[Span] = []
    theirs: list[Span] = []
    for _ in settings.repeats(3):
        for name, command in COMMANDS.items():
            spans[name].append(time_process(command)[0])
        with tempfile.TemporaryDirectory() as folder:
            first.append(_first_solve("blpdask", folder))
            second.append(_first_solve("blpdask", folder))
        theirs.append(_first_solve("pyblp"))
    imported = spans["import pyblp"]
    nothing = median(span.wall for span in spans["nothing"])
    python = f"{nothing:.3f} s of it is Python's start"
    note = f"{SIZE}, whole process"
    return [
        *time_rows(case, "import", imported, spans["import blpdask"], note=python),
        *time_rows(case, "import of all names", imported, spans["all names"]),
        *time_rows(case, "blpdask --help", [], spans["help"]),
        *time_rows(case, "first solve, compiling", theirs, first, note=note),
        *time_rows(case, "first solve, compiled before", theirs, second, note=note),
    ]


def _first_solve(package: Package, cache: str | None = None) -> Span:
    """Time a process that estimates a tiny problem, its kernels cached in a folder."""
    request = {"size": [SIZE.T, SIZE.J, SIZE.I, SIZE.K2], "package": package}
    changes = {} if cache is None else {"NUMBA_CACHE_DIR": cache}
    return run_child("solve", request, changes)[0]
