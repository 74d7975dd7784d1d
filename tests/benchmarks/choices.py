"""Choices of people as fresh processes estimate them: from a store, or many times."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blpdask.driver.clusters import local_client
from blpdask.driver.dask_engine import DaskEngine
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.estimators.likelihood_model import SimulatedLikelihood

from .cluster import WatchedEngine
from .measure import Stopwatch
from .packages import FACTORS, load
from .processes import family_seconds, peak_bytes
from .stores import WORKER_MEMORY, WORKERS

ELECTRICITY = ("pf", "cl", "loc", "wk", "tod", "seas")
#: About where its likelihood is highest: means, then standard deviations.
ELECTRIC = np.array([-0.9, -0.2, 2.2, 1.6, -9.0, -9.2, 0.2, 0.4, 1.7, 1.2, 2.5, 1.8])
#: Evaluations before those whose throughput is measured: kernels, draws on workers.
WARM = 2


def simulate_panel(
    n_people: int, seed: int = 0, at_once: int = 1_000
) -> Iterator[pd.DataFrame]:
    """Give choices among 10 alternatives in 5 situations of some people at a time.

    Three coefficients are normal; the utility of alternatives differs by two fixed
    characteristics beside.
    """
    for first in range(0, n_people, at_once):
        rng = np.random.default_rng([seed, first])
        n = min(at_once, n_people - first)
        beta = np.array([-1.0, 0.5, 1.0, 0.5, -0.5]) + np.zeros((n, 1))
        beta[:, :3] += rng.normal(size=(n, 3)) * [0.5, 1.0, 0.8]
        X = rng.normal(size=(n, 5, 10, 5))
        V = np.einsum("itjk,ik->itj", X, beta) + rng.gumbel(size=X.shape[:3])
        i, t, j = np.indices(V.shape)
        columns = {f"x{k}": X[..., k].ravel() for k in range(5)}
        yield pd.DataFrame(
            {
                "person_ids": first + i.ravel(),
                "situation_ids": t.ravel(),
                "alternative_ids": j.ravel(),
                "chosen": (V.argmax(axis=2)[..., None] == j).ravel(),
                **columns,
            }
        )


def build_panel(path: Path, n_people: int) -> int:
    """Write a store of a simulated panel; give its bytes on disk."""
    blpdask = load("blpdask")
    blpdask.options.verbose = False
    blpdask.build_choice_store(path, simulate_panel(n_people))
    return _size(path)


def build_ta_feng(path: Path) -> int:
    """Write a store of Ta Feng's customers; give its bytes on disk."""
    from .ta_feng import daily_prices, purchases, situations

    blpdask = load("blpdask")
    blpdask.options.verbose = False
    bought = purchases(blpdask.data.load("ta_feng"))
    blpdask.build_choice_store(path, situations(bought, daily_prices(bought)))
    return _size(path)


def estimate_stored_choices(request: Mapping[str, Any]) -> dict[str, Any]:
    """Estimate a mixed logit on a store, from the logit on, on workers."""
    blpdask = load("blpdask")
    blpdask.options.verbose = False
    watch = Stopwatch()
    with local_client(WORKERS, memory_limit=WORKER_MEMORY) as client:
        before = peak_bytes()
        problem = blpdask.ChoiceProblem(
            blpdask.Formulation(request["formula"]),
            blpdask.open_choice_store(request["store"]),
            random=request["random"],
            integration=blpdask.Integration("sobol", request["R"], {"seed": 0}),
        )
        engine = WatchedEngine(DaskEngine(client))
        results = problem.solve(engine=engine)
        peaks = client.run(peak_bytes).values()
    figures = engine.figures[-1].values()
    return {
        "sizes": {name: getattr(problem, name) for name in "ISNKDR"},
        "log_likelihood": results.log_likelihood,
        "theta": results.theta.tolist(),
        "errors": results.standard_errors.tolist(),
        "labels": results.labels,
        "converged": results.converged,
        "evaluations": results.evaluations,
        "search": results.seconds,
        "seconds": engine.seconds,
        "wall": watch.read().wall,
        "before": before,
        "driver": peak_bytes(),
        "worker": max(peaks),
        "held": sum(figure.held_bytes for figure in figures),
    }


def measure_choices(request: Mapping[str, Any]) -> dict[str, float]:
    """Time evaluations of a likelihood that begin when the parent says so."""
    if request["copies"]:
        names, start = ELECTRICITY, ELECTRIC
        data: Any = _electricity(request["copies"])
    else:
        names, start = tuple(f"x{k}" for k in range(5)), np.ones(10)
        (data,) = simulate_panel(200)
    problem = _problem(data, names, request["R"])
    model = SimulatedLikelihood(problem.coefficients, "numba")
    factors = np.resize(FACTORS, WARM + request["evaluations"])
    with ExitStack() as opened:
        engine: Any = SerialEngine()
        if request.get("threads"):
            engine = ThreadsEngine(request["threads"])
        if request.get("workers"):
            client = opened.enter_context(local_client(request["workers"]))
            engine = DaskEngine(client)
        placement = engine.place(problem.source)
        opened.callback(placement.close)
        placement.warm(model.warm)
        for number, theta in enumerate(np.outer(factors, start)):
            if number == WARM:
                print("ready", flush=True)
                sys.stdin.readline()
                watch, cpu = Stopwatch(), family_seconds()
            state = model.at(theta, derivatives=True, by_person=False)
            placement.reduce(model.work, state)
        wall = watch.read().wall
        cpu = family_seconds() - cpu
    return {"evaluations": request["evaluations"], "wall": wall, "cpu": cpu}


def _electricity(copies: int) -> dict[str, Any]:
    """Give the electricity data, every household some times."""
    table = load("blpdask").data.load("electricity")
    data = {name: table[name].to_numpy() for name in ELECTRICITY}
    data |= {"situation_ids": table["chid"], "chosen": table["choice"]}
    data |= {"alternative_ids": table["alt"], "person_ids": table["id"]}
    repeated = {name: np.tile(values, copies) for name, values in data.items()}
    again = np.repeat(np.arange(copies), len(table))
    repeated["person_ids"] = repeated["person_ids"] * copies + again
    return repeated


def _problem(data: Any, names: tuple[str, ...], R: int) -> Any:
    """Make a problem whose coefficients are all normal."""
    blpdask = load("blpdask")
    blpdask.options.verbose = False
    return blpdask.ChoiceProblem(
        blpdask.Formulation("0 + " + " + ".join(names)),
        data,
        random=dict.fromkeys(names, "normal"),
        integration=blpdask.Integration(
            "halton", R, {"discard": 100, "scramble": False}
        ),
    )


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
