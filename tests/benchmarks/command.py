"""What the command line of the benchmarks asks for, and one table as the answer.

Nothing is asserted: times depend on the machine and on what else it does. The table and
the JSON file go to the reader, lines of progress to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .cases import CASES, Case
from .machine import describe_machine, load_average
from .measure import Settings
from .table import Row, Table, render, write_json


def run_command(arguments: Sequence[str]) -> int:
    """Run the cases that were named, all by default, and print one table."""
    given = _parse(arguments)
    chosen = [case for case in CASES if case.name in (given.cases or _names())]
    settings = Settings(quick=given.quick, repeat=given.repeat, say=_say)
    facts = describe_machine(quick=given.quick)
    rows = _run_all(chosen, settings)
    facts["load average at the end"] = load_average()
    table = Table(facts, tuple(rows))
    text = render(table)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n", encoding="utf-8")
    if given.json is not None:
        write_json(table, given.json)
    return 0


def _run_all(chosen: Sequence[Case], settings: Settings) -> list[Row]:
    """Run cases one after another, each with one thread for BLAS and OpenMP."""
    import scipy.linalg  # noqa: F401  (a limit holds for libraries that are loaded)
    from threadpoolctl import threadpool_limits

    rows: list[Row] = []
    with threadpool_limits(limits=1):
        for case in chosen:
            settings.say(f"{case.name}: {case.summary}")
            rows += case.run(case.name, settings)
    return rows


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    listed = "\n".join(f"  {case.name:<18}{case.summary}" for case in CASES)
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="PyBLP beside blpdask, one thread each, in one table.",
        epilog=f"cases:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="by default, all")
    parser.add_argument(
        "--quick", action="store_true", help="tiny problems, to see that all runs"
    )
    parser.add_argument(
        "--repeat", type=int, metavar="N", help="repeats of each measurement"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="samples as JSON")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the table as text")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.cases if name not in _names()]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; cases are {', '.join(_names())}")
    if given.repeat is not None and given.repeat < 1:
        parser.error(f"--repeat {given.repeat}: at least 1 is needed")
    return given


def _names() -> list[str]:
    return [case.name for case in CASES]


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
