"""What fresh processes do that have workers: evaluate often, or on a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from blpdask.driver.clusters import local_client
from blpdask.driver.dask_engine import DaskEngine, DaskPlacement
from blpdask.driver.dask_worker import WorkerFigures

from .measure import Stopwatch
from .packages import FACTORS, build_problem, evaluate_path, load, starting_values
from .problems import nevo
from .processes import peak_bytes, resident_bytes
from .stores import LINEAR, RANDOM, SIGMA, WORKER_MEMORY, WORKERS


def measure_drift(request: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate Nevo's problem on two workers again and again, looking now and then.

    The answer has the seconds of each evaluation and, for each number in ``looks``,
    what was held before the evaluation of that number.
    """
    data = nevo()
    problem = build_problem("blpdask", data)
    factors = np.resize(FACTORS, request["evaluations"])
    thetas = np.outer(factors, starting_values(data))
    looks: list[dict[str, Any]] = []
    with local_client(WORKERS) as client:

        def look(number: int) -> None:
            if number in request["looks"]:
                looks.append(_look_at_cluster(client))

        path = evaluate_path(
            "blpdask", problem, data, thetas, client=client, before=look
        )
    return {"walls": [span.wall for span in path.spans], "looks": looks}


def evaluate_stored(request: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate once on a store, with gradient and standard errors, on workers."""
    blpdask = load("blpdask")
    watch = Stopwatch()
    with local_client(WORKERS, memory_limit=WORKER_MEMORY) as client:
        before = peak_bytes()
        formulations = (blpdask.Formulation(LINEAR), blpdask.Formulation(RANDOM))
        problem = blpdask.Problem(formulations, blpdask.open_store(request["store"]))
        engine = WatchedEngine(DaskEngine(client))
        results = problem.solve(
            SIGMA,
            method="1s",
            optimization=blpdask.Optimization("return"),
            check_optimality="gradient",
            engine=engine,
        )
        peaks = client.run(peak_bytes).values()
    figures = engine.figures[-1].values()
    return {
        "products": problem.N,
        "objective": float(results.objective),
        "standard error": float(results.sigma_se[0, 0]),
        "seconds": engine.seconds,
        "wall": watch.read().wall,
        "before": before,
        "driver": peak_bytes(),
        "worker": max(peaks),
        "held": sum(figure.held_bytes for figure in figures),
        "read": sum(figure.read_bytes for figure in figures),
    }


class WatchedEngine:
    """A Dask engine that is timed, and whose workers are asked what they hold.

    Attributes
    ----------
    seconds
        By name of a pass, of all its reductions.
    figures
        Of the workers, before each placement lets its blocks go.
    """

    name = "dask"

    def __init__(self, engine: DaskEngine) -> None:
        self.seconds: dict[str, float] = {}
        self.figures: list[dict[str, WorkerFigures]] = []
        self._engine = engine

    def place(self, blocks: Any) -> WatchedPlacement:
        """Place blocks on the engine."""
        return WatchedPlacement(self, self._engine.place(blocks))


class WatchedPlacement:
    """A placement that tells its engine of every reduction, and of its end."""

    def __init__(self, engine: WatchedEngine, placement: DaskPlacement) -> None:
        self._engine = engine
        self._placement = placement

    def __getattr__(self, name: str) -> Any:
        return getattr(self._placement, name)

    def reduce(self, pass_: Any, state: Any, **names: Any) -> Any:
        """Time a reduction."""
        watch = Stopwatch()
        record = self._placement.reduce(pass_, state, **names)
        seconds = self._engine.seconds
        name = pass_.__qualname__
        seconds[name] = seconds.get(name, 0.0) + watch.read().wall
        return record

    def close(self) -> None:
        """Note the figures and close."""
        self._engine.figures.append(self._placement.figures())
        self._placement.close()


def _look_at_cluster(client: Any) -> dict[str, Any]:
    """Say what driver and workers hold, and what the scheduler knows."""

    def count(dask_scheduler: Any) -> tuple[int, int]:
        return len(dask_scheduler.tasks), len(dask_scheduler.task_prefixes)

    tasks, prefixes = client.run_on_scheduler(count)
    workers = sorted(client.run(resident_bytes).items())
    return {
        "driver": [resident_bytes()],
        "workers": [held for _, held in workers],
        "tasks": tasks,
        "prefixes": prefixes,
    }
