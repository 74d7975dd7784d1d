"""What runs in a fresh process: ``python -m tests.benchmarks.child TASK``.

A request comes as a line of JSON on standard input; the answer is the last line of what
is printed.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .measure import Stopwatch
from .packages import (
    FACTORS,
    build_problem,
    evaluate_path,
    load,
    solve,
    starting_values,
)
from .problems import Size, simulate

Request = Mapping[str, Any]
STATUS = Path("/proc/self/status")
#: Bytes a unit of ru_maxrss: kilobytes, but on macOS.
UNIT = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Do the task that is named and print the answer."""
    request = json.loads(sys.stdin.readline())
    print(json.dumps(TASKS[sys.argv[1]](request)), flush=True)


def measure_memory(request: Request) -> dict[str, float]:
    """Evaluate once; give peaks of resident memory in GiB."""
    data = simulate(Size(*request["size"]))
    load(request["package"])
    before = _peak()
    if request["scratch_bytes"] is not None:
        load(request["package"]).options.scratch_bytes = request["scratch_bytes"]
    problem = build_problem(request["package"], data)
    theta = starting_values(data)
    path = evaluate_path(request["package"], problem, data, theta[None, :])
    return {
        "before": before,
        "peak": _peak(),
        "objective": float(path.objectives[0]),
        "cpu": path.spans[0].cpu,
    }


def measure_throughput(request: Request) -> dict[str, float]:
    """Time evaluations that begin when the parent says so."""
    data = simulate(Size(*request["size"]))
    problem = build_problem("blpdask", data)
    factors = np.resize(FACTORS, request["evaluations"])
    thetas = np.outer(factors, starting_values(data))
    threads = request["threads"]
    evaluate_path("blpdask", problem, data, thetas[:2], threads=threads)
    watches: list[Stopwatch] = []

    def wait() -> None:
        print("ready", flush=True)
        sys.stdin.readline()
        watches.append(Stopwatch())

    evaluate_path("blpdask", problem, data, thetas, threads=threads, pause=wait)
    span = watches[0].read()
    return {"evaluations": len(thetas), "wall": span.wall, "cpu": span.cpu}


def solve_once(request: Request) -> dict[str, float]:
    """Estimate."""
    data = simulate(Size(*request["size"]))
    package = request["package"]
    problem = build_problem(package, data)
    solution = solve(package, problem, data, hessian=False)
    return {"objective": solution.objective, "wall": solution.span.wall}


def _peak() -> float:
    """Give the peak of this process's resident memory in GiB.

    Where Linux says it of the program alone, that is taken: ``ru_maxrss`` begins at
    what the parent held when it started this process.
    """
    if STATUS.exists():
        for line in STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 2**30


TASKS: Mapping[str, Callable[[Request], dict[str, float]]] = {
    "memory": measure_memory,
    "throughput": measure_throughput,
    "solve": solve_once,
}


if __name__ == "__main__":
    main()
