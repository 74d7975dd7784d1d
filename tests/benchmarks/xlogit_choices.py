"""Choices of people in xlogit and in blpdask: log-likelihoods at θ, and estimations.

Both take the same Halton draws: one sequence a coefficient, a hundred points discarded.
Electricity (Huber and Train 2001) is read from the cache of public data; where that is
out of the question, people of the same shape are drawn.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal

import numpy as np
import pandas as pd

import blpdask
from blpdask.records import Floats

from .measure import Span, Stopwatch
from .packages import Path, PathEnded, follow_path, load
from .processes import peak_bytes

Peer = Literal["xlogit", "blpdask"]
PEERS: tuple[Peer, ...] = ("xlogit", "blpdask")
COLUMNS = ("pf", "cl", "loc", "wk", "tod", "seas")
#: Where log-likelihoods are evaluated, near the maximum.
THETA = np.array(
    [
        *(-0.99, -0.226, 2.29, 1.62, -9.57, -9.59),
        *(0.217, 0.389, 1.82, 1.23, 2.41, 1.40),
    ]
)


def read_electricity() -> pd.DataFrame:
    """Read 4308 choices of 361 people among four suppliers."""
    return blpdask.data.load_choices("electricity")


def draw_people(n_people: int, situations: int, seed: int = 0) -> pd.DataFrame:
    """Draw people who choose among four suppliers, as ``THETA`` says."""
    rng = np.random.default_rng(seed)
    shape = (n_people, situations, 4)
    X = 0.25 * rng.normal(size=(*shape, len(COLUMNS)))
    K = len(COLUMNS)
    beta = THETA[:K] + THETA[K:] * rng.normal(size=(n_people, K))
    utilities = np.einsum("itjk,ik->itj", X, beta) + rng.gumbel(size=shape)
    people, at, alternatives = np.indices(shape).reshape(3, -1)
    chosen = utilities.argmax(axis=2)
    return pd.DataFrame(X.reshape(-1, K), columns=list(COLUMNS)).assign(
        person_ids=people,
        situation_ids=people * situations + at,
        alternative_ids=alternatives,
        chosen=(alternatives == chosen[people, at]),
    )


def halton_problem(table: pd.DataFrame, R: int) -> Any:
    """Build the problem with the draws that xlogit makes."""
    module = load("blpdask")
    rule = module.Integration("halton", R, {"discard": 100, "scramble": False})
    return module.ChoiceProblem(
        module.Formulation(f"0 + {' + '.join(COLUMNS)}"),
        table,
        random=dict.fromkeys(COLUMNS, "normal"),
        integration=rule,
    )


def evaluate(peer: Peer, table: pd.DataFrame, R: int, thetas: Floats) -> Path:
    """Evaluate -LL and its gradient at given θ ``(n, P)``, in one thread."""
    if peer == "xlogit":
        return _evaluate_xlogit(table, R, thetas)
    module, problem = load("blpdask"), halton_problem(table, R)

    def estimate(method: Any) -> None:
        optimization = module.Optimization(method)
        problem.solve(thetas[0], optimization=optimization, engine="serial")

    return follow_path(estimate, thetas)


def estimate(peer: Peer, table: pd.DataFrame, R: int | None) -> tuple[Span, Floats]:
    """Estimate with ``R`` Halton draws, or blpdask's own draws where None."""
    gc.collect()
    watch = Stopwatch()
    if peer == "xlogit":
        found = _fit(table, R, skip_std_errs=False)
        return watch.read(), np.asarray(found.coeff_)
    module = load("blpdask")
    if R is None:
        problem = module.ChoiceProblem(
            module.Formulation(f"0 + {' + '.join(COLUMNS)}"),
            table,
            random=dict.fromkeys(COLUMNS, "normal"),
        )
    else:
        problem = halton_problem(table, R)
    results = problem.solve(engine="serial")
    return watch.read(), np.asarray(results.theta)


def measure_choice_memory(request: Mapping[str, Any]) -> dict[str, float]:
    """Evaluate once; give peaks of resident memory in MiB, above a few draws'."""
    peer, quick = request["peer"], request["quick"]
    table = draw_people(40, 6) if quick else read_electricity()
    evaluate(peer, table, 10, THETA[None])
    before = peak_bytes()
    evaluate(peer, table, request["R"], THETA[None])
    return {
        "above": (peak_bytes() - before) / 2**20,
        "peak": peak_bytes() / 2**20,
    }


def _evaluate_xlogit(table: pd.DataFrame, R: int, thetas: Floats) -> Path:
    """Evaluate through the function that xlogit hands to its optimiser."""
    spans: list[Span] = []
    found: list[tuple[float, Floats]] = []

    def search(function: Any, start: Any, args: Any, **options: Any) -> None:
        del start, options
        for theta in thetas:
            watch = Stopwatch()
            answer = function(theta, *args, return_gradient=True)
            spans.append(watch.read())
            found.append((float(answer[0]), np.ravel(answer[1])))
        raise PathEnded

    with _searching(search), suppress(PathEnded):
        _fit(table, R, mnl_init=False, init_coeff=thetas[0])
    return Path(
        tuple(spans), np.array([q for q, _ in found]), np.array([g for _, g in found])
    )


def _fit(table: pd.DataFrame, R: int | None, **options: Any) -> Any:
    """Let xlogit estimate."""
    from xlogit import MixedLogit

    model = MixedLogit()
    model.fit(
        X=table[list(COLUMNS)],
        y=table["chosen"].astype(float),
        varnames=list(COLUMNS),
        ids=table["situation_ids"],
        panels=table["person_ids"],
        alts=table["alternative_ids"],
        randvars=dict.fromkeys(COLUMNS, "n"),
        n_draws=R,
        verbose=0,
        **options,
    )
    return model


@contextmanager
def _searching(search: Any) -> Iterator[None]:
    """Put a search in the place of xlogit's minimiser."""
    from xlogit import mixed_logit

    kept = mixed_logit._minimize
    mixed_logit._minimize = search
    try:
        yield
    finally:
        mixed_logit._minimize = kept
