"""What runs in a fresh process: ``python -m tests.benchmarks.child TASK``.

A request comes as a line of JSON on standard input; the answer is the last line of what
is printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from blpdask.driver.clusters import local_client

from .choices import estimate_stored_choices, measure_choices
from .cluster import evaluate_stored, measure_drift
from .measure import Stopwatch
from .packages import (
    FACTORS,
    build_problem,
    evaluate_path,
    load,
    solve,
    starting_values,
)
from .petrin import measure_petrin_memory
from .problems import Size, simulate
from .processes import family_seconds, peak_bytes
from .supply import estimate_supply
from .xlogit_choices import measure_choice_memory

Request = Mapping[str, Any]
#: Evaluations before those whose throughput is measured: kernels, data on workers.
WARM = 2


def main() -> None:
    """Do the task that is named and print the answer."""
    request = json.loads(sys.stdin.readline())
    print(json.dumps(TASKS[sys.argv[1]](request)), flush=True)


def measure_memory(request: Request) -> dict[str, float]:
    """Evaluate once; give peaks of resident memory in GiB."""
    data = simulate(Size(*request["size"]))
    load(request["package"])
    before = peak_bytes()
    if request["scratch_bytes"] is not None:
        load(request["package"]).options.scratch_bytes = request["scratch_bytes"]
    problem = build_problem(request["package"], data)
    theta = starting_values(data)
    path = evaluate_path(request["package"], problem, data, theta[None, :])
    return {
        "before": before / 2**30,
        "peak": peak_bytes() / 2**30,
        "objective": float(path.objectives[0]),
        "cpu": path.spans[0].cpu,
    }


def measure_throughput(request: Request) -> dict[str, float]:
    """Time evaluations that begin when the parent says so."""
    data = simulate(Size(*request["size"]))
    problem = build_problem("blpdask", data)
    factors = np.resize(FACTORS, WARM + request["evaluations"])
    thetas = np.outer(factors, starting_values(data))
    looks: list[tuple[Stopwatch, float]] = []
    found: dict[str, float] = {"evaluations": request["evaluations"]}

    def look(number: int) -> None:
        if number == WARM:
            print("ready", flush=True)
            sys.stdin.readline()
            looks.append((Stopwatch(), family_seconds()))
        elif number == len(thetas):
            watch, cpu = looks[0]
            found["wall"] = watch.read().wall
            found["cpu"] = family_seconds() - cpu

    with ExitStack() as opened:
        client = None
        if request.get("workers"):
            client = opened.enter_context(local_client(request["workers"]))
        evaluate_path(
            "blpdask",
            problem,
            data,
            thetas,
            threads=request["threads"],
            client=client,
            before=look,
        )
    return found


def solve_once(request: Request) -> dict[str, float]:
    """Estimate."""
    data = simulate(Size(*request["size"]))
    package = request["package"]
    problem = build_problem(package, data)
    solution = solve(package, problem, data, hessian=False)
    return {"objective": solution.objective, "wall": solution.span.wall}


TASKS: Mapping[str, Callable[[Request], dict[str, Any]]] = {
    "memory": measure_memory,
    "throughput": measure_throughput,
    "drift": measure_drift,
    "stored": evaluate_stored,
    "stored-choices": estimate_stored_choices,
    "choices": measure_choices,
    "supply": estimate_supply,
    "solve": solve_once,
    "petrin": measure_petrin_memory,
    "xlogit": measure_choice_memory,
}


if __name__ == "__main__":
    main()
