"""Test models of conduct at estimates: :mod:`blpdask.analysis.rivers_vuong` on results.

Markups follow from the estimates of demand alone, so that problems with and without a
supply side are tested in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import options
from ..analysis.conduct_demand import DemandPoint, demand_error
from ..analysis.conduct_markups import (
    Computation,
    Conduct,
    ImpliedCosts,
    implied_costs,
)
from ..analysis.conduct_strength import POWERS, SIZES, critical_values
from ..analysis.model_confidence import model_confidence_p_values
from ..analysis.rivers_vuong import (
    Fits,
    effective_F,
    fit_models,
    orthonormal,
    statistics,
)
from ..errors import Faults, NumericalError
from ..problem.clusters import check_one_way
from ..problem.demand_problem import DemandProblem
from ..problem.fields import some
from ..records import Floats, Integers
from ..results.conduct_table import ConductTest
from .conduct_columns import (
    KeptInstruments,
    net_instruments,
    read_instruments,
    read_shifters,
)
from .conduct_models import read_models
from .estimated_errors import estimated_layout
from .solve_checks import check_choices, check_engine, check_numbers
from .solved_problem import problem_of
from .stored import in_memory

if TYPE_CHECKING:
    from .problem import Problem
    from .results import ProblemResults

_WHAT = "conduct tests"


@dataclass(frozen=True, slots=True, eq=False)
class ConductRequest:
    """What a user asks for, as :meth:`ProblemResults.run_conduct_test` says."""

    models: Sequence[Any]
    instruments: Any = None
    cost_formulation: Any = None
    product_data: Any = None
    costs_type: str | None = None
    se_type: str | None = None
    demand_adjustment: bool = True
    draws: int = 100_000
    seed: int = 0
    engine: Any = None
    threads: int | None = None
    backend: str = "numba"
    blocks: int | None = None


def run_conduct_test(results: ProblemResults, request: ConductRequest) -> ConductTest:
    """Test models of conduct; see ``ProblemResults.run_conduct_test``."""
    problem = problem_of(results)
    demand = in_memory(problem.demand, _WHAT)
    faults = Faults("run_conduct_test")
    conducts = read_models(request.models, demand, faults)
    shifters = read_shifters(
        request.cost_formulation, request.product_data, demand, faults
    )
    read = read_instruments(request.instruments, demand, faults)
    log, clusters = _check(results, demand, request, faults)
    instruments = None
    if shifters is not None and read is not None:
        instruments = net_instruments(*read, shifters)
        if not instruments.names:
            faults.add(
                "instruments that cost shifters span",
                "instruments that vary beyond what shifts costs",
                "pass others",
            )
    check_numbers(0, request.threads, request.blocks, request.seed, faults)
    engine = check_engine(request.engine, request.threads, faults)
    faults.check()
    assert shifters is not None and instruments is not None and engine is not None
    how = Computation(engine, request.backend, options.scratch_bytes, request.blocks)
    Z = orthonormal(instruments.values)
    point = _point(results, problem)
    implied = [implied_costs(demand, point, c, Z, how, log=log) for c in conducts]
    _check_costs(implied, conducts, demand)
    fits = fit_models(
        shifters.net(np.column_stack([costs.costs for costs in implied])),
        Z,
        [costs.ZtC for costs in implied],
        demand_error(demand, results.estimates) if request.demand_adjustment else None,
        clusters,
    )
    return _record(request, conducts, implied, instruments, fits, clusters)


def _check(
    results: ProblemResults,
    demand: DemandProblem,
    request: ConductRequest,
    faults: Faults,
) -> tuple[bool, Integers | None]:
    """Check choices; give whether costs are in logs, and clusters."""
    check_choices({"backend": request.backend}, faults)
    named = (
        ("costs_type", request.costs_type, (None, "linear", "log")),
        ("se_type", request.se_type, (None, "robust", "clustered")),
    )
    for name, value, allowed in named:
        if value not in allowed:
            faults.add(
                f"{name}={value!r}",
                f"one of {', '.join(map(repr, allowed))}",
                f"correct {name}",
            )
    if not isinstance(request.draws, int) or request.draws < 1:
        faults.add(
            f"draws={request.draws!r}", "a whole number, at least 1", "correct it"
        )
    if results.estimates.phi.size or results.estimates.moment_types:
        faults.add(
            "estimates of autocorrelated errors, or of moments of innovations",
            "moments of levels, of which each row has its own",
            "solve the problem without lags",
        )
    clusters = None if request.se_type == "robust" else demand.products.clusters
    check_one_way(clusters, faults)
    if request.se_type == "clustered" and clusters is None:
        faults.add(
            "se_type 'clustered' without clusters",
            "a column clustering_ids in product_data",
            "add it, or choose 'robust'",
        )
    supply, given = demand.products.supply, request.costs_type
    own = (
        "linear"
        if supply is None or results.problem is None
        else (results.problem.costs_type)
    )
    return (given or own) == "log", clusters


def _point(results: ProblemResults, problem: Problem) -> DemandPoint:
    """Gather what markups depend on."""
    estimates = results.estimates
    return DemandPoint(
        parameters=estimated_layout(estimates, problem.outline),
        theta=estimates.theta,
        beta=estimates.beta[:, 0],
        delta=np.asarray(results.delta)[:, 0],
    )


def _check_costs(
    implied: Sequence[ImpliedCosts], conducts: Sequence[Conduct], demand: DemandProblem
) -> None:
    """Check that all models imply costs everywhere.

    Raises
    ------
    NumericalError
        Where markups cannot be computed, or logarithms of costs.
    """
    ids, codes = demand.products.unique_market_ids, demand.products.market_codes
    said = []
    for costs, conduct in zip(implied, conducts, strict=True):
        known = np.isfinite(costs.eta)
        for bad, what in (
            (~known, "markups that are not finite"),
            (known & ~np.isfinite(costs.costs), "costs at or below zero"),
        ):
            if bad.any():
                where = some(ids[np.unique(codes[bad])])
                said.append(
                    f"{what} of {bad.sum()} products in markets {where} by "
                    f"the model '{conduct.name}'"
                )
    if said:
        raise NumericalError(
            f"found: {'; '.join(said)}\n  expected: finite markups and, for logs, "
            "positive costs\n  what to do: leave such models out, look at the "
            "estimates of demand, or pass costs_type='linear'"
        )


def _record(
    request: ConductRequest,
    conducts: Sequence[Conduct],
    implied: Sequence[ImpliedCosts],
    instruments: KeptInstruments,
    fits: Fits,
    clusters: Integers | None,
) -> ConductTest:
    """Bring together what was found."""
    from scipy.special import ndtr

    T = statistics(fits)
    F, rho = effective_F(fits)
    size, power = _strengths(rho, len(instruments.names))
    return ConductTest(
        names=tuple(conduct.name for conduct in conducts),
        Q=fits.Q,
        statistics=T,
        p_values=2 * ndtr(-np.abs(T)),
        F=F,
        rho=rho,
        size_critical_values=size,
        power_critical_values=power,
        sizes=SIZES,
        powers=POWERS,
        confidence_p_values=model_confidence_p_values(
            T, fits.covariances, draws=request.draws, seed=request.seed
        ),
        markups=np.column_stack([costs.eta for costs in implied]),
        covariances=fits.covariances,
        instruments=instruments.names,
        dropped=instruments.dropped,
        n_products=fits.n,
        n_clusters=0 if clusters is None else int(clusters.max()) + 1,
        demand_adjusted=request.demand_adjustment,
    )


def _strengths(rho: Floats, n_instruments: int) -> tuple[Floats, Floats]:
    """Compute critical values of F of every pair, ``(m, m, 3)``; NaN without F."""
    size = np.full((*rho.shape, len(SIZES)), np.nan)
    power = np.full((*rho.shape, len(POWERS)), np.nan)
    for i, j in zip(*np.triu_indices(rho.shape[0], 1), strict=True):
        if np.isfinite(rho[i, j]):
            found = critical_values(n_instruments, rho[i, j])
            size[i, j] = size[j, i] = found.size
            power[i, j] = power[j, i] = found.power
    return size, power
