"""How long responses of demand take at an estimate: elasticities, diversion, prices.

Elasticities and Jacobians of demand by prices, diversion in the long run (one product
gone at a time), and prices after a merger of two firms, in one thread. Both packages
give rows of all products, N x max J.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import numpy as np

from blpdask.driver.cores import single_threaded_libraries
from blpdask.driver.serial import SerialEngine
from blpdask.model.equilibrium import ACCELERATED, PriceState, equilibrium_pass
from blpdask.model.parameters import tastes_at
from blpdask.model.responses import (
    RespondingMarkets,
    ResponseState,
    responses_pass,
)
from blpdask.partitions.source import HeldBlocks
from blpdask.problem.demand_problem import DemandProblem
from blpdask.problem.pricing import PriceSetting, priced_markets
from blpdask.records import Floats, Integers, InversionControls

from ..measure import Settings, Span, Stopwatch
from ..packages import PACKAGES, Package, load
from ..problems import Size
from ..table import Row, time_rows

SIZES = (Size(T=1_000, J=50, I=200, K2=3), Size(T=5_000, J=10, I=50, K2=3))
QUICK = (Size(T=5, J=6, I=20, K2=3),)
PRODUCTS_OF_A_FIRM = 2
SIGMA = np.diag([0.5, 0.3, 0.8])
BETA, GAMMA = [1.0, -3.0, 1.0], [2.0, 0.3, 0.5]
DEMAND, COSTS = "1 + prices + x", "1 + x + w"
MEASURES = ("elasticities", "demand Jacobians", "long-run diversion", "merger prices")


def run(case: str, settings: Settings) -> list[Row]:
    """Ask estimates of each size, in turns."""
    sizes = QUICK if settings.quick else SIZES
    return [row for size in sizes for row in _rows(case, settings, size)]


def _rows(case: str, settings: Settings, size: Size) -> list[Row]:
    """Time one size."""
    settings.say(f"  simulating {size}")
    data = _simulate(size)
    results = {}
    for package in PACKAGES:
        settings.say(f"  evaluating with {package}")
        results[package] = _estimate(package, data, size)
    given = {
        "data": data,
        "costs": results["pyblp"].compute_costs(),
        "firm_ids": np.where(data["firm_ids"] == 1, 0, data["firm_ids"]),
    }
    for measure in MEASURES:
        _compute("blpdask", results["blpdask"], measure, given)
    spans: dict[tuple[Package, str], list[Span]] = {
        (package, measure): [] for package in PACKAGES for measure in MEASURES
    }
    for _ in settings.repeats(3):
        found = {}
        for measure in MEASURES:
            for package in PACKAGES:
                gc.collect()  # so that neither pays for the other's garbage
                watch = Stopwatch()
                found[package, measure] = _compute(
                    package, results[package], measure, given
                )
                spans[package, measure].append(watch.read())
    rows = []
    for measure in MEASURES:
        theirs, ours = (found[package, measure] for package in PACKAGES)
        gap = float(np.abs(ours / theirs - 1).max())
        named = f"{measure} T={size.T} J={size.J} I={size.I}"
        rows += [
            *time_rows(case, named, *(spans[package, measure] for package in PACKAGES)),
            Row(
                case,
                f"{named}, norm",
                "",
                (float(np.linalg.norm(theirs)),),
                (float(np.linalg.norm(ours)),),
                comparison="apart",
                digits=10,
                note=f"no element further apart than {gap:.0e}",
            ),
        ]
    return rows


def _simulate(size: Size) -> Any:
    """Draw markets in equilibrium, with excluded instruments."""
    blpdask = load("blpdask")
    simulation = blpdask.Simulation(
        tuple(blpdask.Formulation(formula) for formula in (DEMAND, DEMAND, COSTS)),
        blpdask.build_id_data(
            T=size.T, J=size.J, F=max(3, size.J // PRODUCTS_OF_A_FIRM)
        ),
        beta=BETA,
        sigma=SIGMA,
        gamma=GAMMA,
        integration=blpdask.Integration("mlhs", size.I, {"seed": 0}),
        xi_variance=0.1,
        omega_variance=0.05,
        seed=0,
    )
    data = simulation.replace_endogenous(
        compute_gradients=False, compute_hessians=False
    ).product_data
    names = ("market_ids", "firm_ids", "shares", "prices", "x", "w")
    found = {name: np.ravel(data[name]) for name in names}
    return found | {f"demand_instruments{m}": found["w"] ** (m + 1) for m in range(4)}


def _estimate(package: Package, data: Any, size: Size) -> Any:
    """Evaluate once at the truth, which stands in for estimates."""
    module = load(package)
    problem = module.Problem(
        (module.Formulation(DEMAND), module.Formulation(DEMAND)),
        data,
        integration=module.Integration("mlhs", size.I, {"seed": 0}),
    )
    return problem.solve(
        sigma=SIGMA,
        beta=[None, BETA[1], None],
        method="1s",
        optimization=module.Optimization("return"),
        check_optimality="gradient",
    )


def _compute(
    package: Package, results: Any, measure: str, given: dict[str, Any]
) -> Floats:
    """Ask for one thing, ``(N, max J)`` or ``(N, 1)``."""
    asked = results if package == "pyblp" else _Asked(results, given["data"])
    if measure == "elasticities":
        found = asked.compute_elasticities()
    elif measure == "demand Jacobians":
        found = asked.compute_demand_jacobians()
    elif measure == "long-run diversion":
        found = asked.compute_long_run_diversion_ratios()
    else:
        found = asked.compute_prices(given["firm_ids"], costs=given["costs"])
    return np.asarray(found)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Asks blpdask's estimates by passes over blocks."""

    results: Any
    data: Any

    def compute_elasticities(self) -> Floats:
        """Compute ∂s_j/∂p_k p_k / s_j, ``(N, max J)``."""
        demand, (values, shares) = self._demand, self._respond(removed=False)
        found = self._in_rows(values)
        sizes = np.diff(demand.tables.product_offsets)
        prices = np.full((sizes.size, found.shape[1]), np.nan)
        there = np.arange(found.shape[1]) < sizes[:, None]
        prices[there] = np.ravel(self.data["prices"])[demand.order]
        markets = np.empty(demand.n_products, np.int64)
        markets[demand.order] = np.repeat(np.arange(sizes.size), sizes)
        found *= prices[markets]
        found[demand.order] /= shares[:, None]
        return found

    def compute_demand_jacobians(self) -> Floats:
        """Compute ∂s_j/∂p_k, ``(N, max J)``."""
        return self._in_rows(self._respond(removed=False)[0])

    def compute_long_run_diversion_ratios(self) -> Floats:
        """Compute the shares of j's buyers that k gains, ``(N, max J)``."""
        values, shares = self._respond(removed=True)
        found = self._in_rows(values)
        found[self._demand.order] /= shares[:, None]
        return found

    def compute_prices(self, firm_ids: Any, costs: Floats) -> Floats:
        """Compute prices with other owners, ``(N, 1)``."""
        demand = self._demand
        firms = np.unique(firm_ids, return_inverse=True)[1]
        source = self._blocks(firms, np.ravel(costs))
        controls = InversionControls(method=ACCELERATED, atol=1e-12)
        found = _reduce(source, equilibrium_pass, PriceState(self._tastes(), controls))
        prices = np.empty((demand.n_products, 1))
        prices[demand.order, 0] = found.prices
        return prices

    @property
    def _demand(self) -> DemandProblem:
        demand: DemandProblem = self.results.problem.demand
        return demand

    def _respond(self, *, removed: bool) -> tuple[Floats, Floats]:
        """Compute responses ``(F,)`` and shares ``(N,)`` in market order."""
        nobody = np.zeros(self._demand.n_products, np.int64)
        source = self._blocks(nobody, np.ravel(self.data["prices"]))
        blocks = [source.load(index) for index in range(len(source))]
        placed = HeldBlocks(
            [RespondingMarkets(b.markets, b.utility(b.start)) for b in blocks]
        )
        state = ResponseState(self._tastes(), removed)
        found = _reduce(placed, responses_pass, state)
        return found.values, found.shares

    def _blocks(self, firms: Integers, costs: Floats) -> HeldBlocks:
        results, prices = self.results, np.ravel(self.data["prices"])
        return priced_markets(
            self._demand,
            self.data,
            PriceSetting(firms=firms, ownership=None, costs=costs, start=prices),
            beta=results.beta[:, 0],
            delta=np.asarray(results.delta)[:, 0],
        )

    def _tastes(self) -> Any:
        from blpdask.api.estimated_errors import estimated_layout

        estimates = self.results.estimates
        layout = estimated_layout(estimates, self.results.problem.outline)
        return tastes_at(layout, estimates.theta)

    def _in_rows(self, values: Floats) -> Floats:
        """Pad and bring into the user's order, ``(F,)`` to ``(N, max J)``."""
        demand = self._demand
        offsets = demand.tables.product_offsets
        sizes = np.diff(offsets)
        width = np.repeat(sizes, sizes)
        found = np.full((demand.n_products, int(sizes.max())), np.nan)
        padded = np.full_like(found, np.nan)
        padded[np.arange(found.shape[1]) < width[:, None]] = values
        found[demand.order] = padded
        return found


def _reduce(source: HeldBlocks, pass_: Any, state: Any) -> Any:
    with single_threaded_libraries():
        placement = SerialEngine().place(source)
        try:
            return placement.reduce(pass_, state)
        finally:
            placement.close()
