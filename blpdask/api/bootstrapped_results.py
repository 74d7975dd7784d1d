"""Bootstrapped results, under PyBLP's names: post-estimation at every draw."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, cast

import numpy as np

from ..analysis.bootstrap import DrawnParameters, Realized
from ..errors import Faults
from ..records import Floats
from ..status import PriceStatus
from .bootstrap import at_draw, at_equilibrium, each_draw
from .demand_methods import DemandMethods
from .estimated_economy import EstimatedEconomy
from .firm_methods import FirmMethods
from .pickles import save_pickle
from .price_search_text import price_search_table
from .solve_checks import check_engine

if TYPE_CHECKING:
    from .results import ProblemResults

P = ParamSpec("P")

_ATTRIBUTES = (
    "bootstrapped_sigma",
    "bootstrapped_pi",
    "bootstrapped_rho",
    "bootstrapped_phi",
    "bootstrapped_beta",
    "bootstrapped_gamma",
    "bootstrapped_prices",
    "bootstrapped_shares",
    "bootstrapped_delta",
    "computation_time",
    "draws",
    "fp_converged",
    "fp_iterations",
    "contraction_evaluations",
)


def over_draws(
    method: Callable[Concatenate[Any, P], Floats], *varying: str
) -> Callable[Concatenate[BootstrappedResults, P], Floats]:
    """Ask what a method of results asks at every draw.

    Parameters
    ----------
    method
        Of :class:`.demand_methods.DemandMethods` or :class:`.firm_methods.FirmMethods`.
    varying
        Arguments that have a leading axis of draws.
    """
    signature, what = inspect.signature(method), method.__name__

    @functools.wraps(method)
    def stacked(self: BootstrappedResults, *args: Any, **kwargs: Any) -> Floats:
        given = dict(signature.bind(self, *args, **kwargs).arguments)
        del given["self"]
        faults = Faults(what)
        by_draw = {
            name: _read_draws(given[name], name, self.draws, faults)
            for name in varying
            if given.get(name) is not None
        }
        if "engine" in signature.parameters:
            threads = given.pop("threads", None)
            given["engine"] = check_engine(given.get("engine"), threads, faults)
        faults.check()

        def ask(d: int) -> Floats:
            own = {name: values[d] for name, values in by_draw.items()}
            arguments: dict[str, Any] = given | own
            asked: Callable[..., Floats] = method
            return asked(BootstrapDraw(self, d), **arguments)

        return np.stack(each_draw(self.draws, ask, None))

    return cast("Callable[Concatenate[BootstrappedResults, P], Floats]", stacked)


class BootstrapDraw(DemandMethods, FirmMethods):
    """What is asked of one draw."""

    def __init__(self, bootstrapped: BootstrappedResults, d: int) -> None:
        """Choose the draw."""
        self._bootstrapped, self._d = bootstrapped, d

    def estimated_economy(self, what: str) -> EstimatedEconomy:
        """Give the problem at the draw's parameters, prices and shares.

        Parameters
        ----------
        what
            Is asked for, for messages.
        """
        own, d = self._bootstrapped, self._d
        economy = at_draw(own.problem_results.estimated_economy(what), own.drawn, d)
        return at_equilibrium(
            economy,
            own.bootstrapped_prices[d, :, 0],
            own.bootstrapped_shares[d, :, 0],
            own.bootstrapped_delta[d, :, 0],
        )


class BootstrappedResults:
    """Results of parametric bootstrap (:mod:`blpdask.analysis.bootstrap`).

    Methods are those of :class:`blpdask.ProblemResults`, asked at the parameters,
    prices, shares and δ of each draw; answers have a leading axis of draws, and so have
    arguments that are numbers of products or stacked matrices: ``prices``, ``shares``,
    ``delta``, ``costs`` and ``matrices``. Owners and agents are the same in all draws.

    Attributes
    ----------
    problem_results
        The estimates.
    bootstrapped_sigma, bootstrapped_pi, bootstrapped_rho, bootstrapped_phi
        ``(draws, …)`` parameters, in the shapes of the estimates.
    bootstrapped_beta, bootstrapped_gamma
        ``(draws, K1, 1)`` and ``(draws, K3, 1)``.
    bootstrapped_prices, bootstrapped_shares, bootstrapped_delta
        ``(draws, N, 1)`` prices of equilibrium, or the data's without a supply side;
        and shares and mean utilities at these.
    computation_time
        Seconds.
    draws
        How many.
    fp_converged, fp_iterations, contraction_evaluations
        ``(T, draws)`` how prices were found, markets in sorted order.
    """

    def __init__(
        self,
        problem_results: ProblemResults,
        drawn: DrawnParameters,
        found: Sequence[Realized],
        seconds: float,
    ) -> None:
        """Stack what was found; rows in the user's order."""
        self.problem_results = problem_results
        self.drawn = drawn
        self.bootstrapped_sigma = drawn.stacked("sigma")
        self.bootstrapped_pi = drawn.stacked("pi")
        self.bootstrapped_rho = drawn.stacked("rho")
        self.bootstrapped_phi = drawn.stacked("phi")
        self.bootstrapped_beta = drawn.stacked("beta")
        self.bootstrapped_gamma = drawn.stacked("gamma")
        self.bootstrapped_prices = np.stack([own.prices[:, None] for own in found])
        self.bootstrapped_shares = np.stack([own.shares[:, None] for own in found])
        self.bootstrapped_delta = np.stack([own.delta[:, None] for own in found])
        self.computation_time = seconds
        self.draws = len(found)
        status = np.column_stack([own.status for own in found])
        self.fp_converged = status == PriceStatus.CONVERGED
        self.fp_iterations = np.column_stack([own.iterations for own in found])
        self.contraction_evaluations = np.column_stack(
            [own.evaluations for own in found]
        )

    def __str__(self) -> str:
        """Print how long it took and how prices were found."""
        return price_search_table("Bootstrapped Results Summary", "Bootstrap", self)

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def to_dict(self, attributes: Sequence[str] = _ATTRIBUTES) -> dict[str, Any]:
        """Collect attributes by name."""
        return {name: getattr(self, name) for name in attributes}

    def to_pickle(self, path: str | Path) -> None:
        """Pickle the results, for PyBLP scripts; the problem stays behind."""
        save_pickle(self, path)

    compute_aggregate_elasticities = over_draws(
        DemandMethods.compute_aggregate_elasticities
    )
    compute_elasticities = over_draws(DemandMethods.compute_elasticities)
    compute_demand_jacobians = over_draws(DemandMethods.compute_demand_jacobians)
    compute_demand_hessians = over_draws(DemandMethods.compute_demand_hessians)
    compute_diversion_ratios = over_draws(DemandMethods.compute_diversion_ratios)
    compute_long_run_diversion_ratios = over_draws(
        DemandMethods.compute_long_run_diversion_ratios
    )
    compute_probabilities = over_draws(
        DemandMethods.compute_probabilities, "prices", "delta"
    )
    compute_shares = over_draws(DemandMethods.compute_shares, "prices", "delta")
    compute_delta = over_draws(DemandMethods.compute_delta)
    extract_diagonals = over_draws(DemandMethods.extract_diagonals, "matrices")
    extract_diagonal_means = over_draws(
        DemandMethods.extract_diagonal_means, "matrices"
    )
    compute_costs = over_draws(FirmMethods.compute_costs)
    compute_approximate_prices = over_draws(
        FirmMethods.compute_approximate_prices, "costs"
    )
    compute_prices = over_draws(FirmMethods.compute_prices, "costs", "prices")
    compute_passthrough = over_draws(FirmMethods.compute_passthrough)
    compute_profit_hessians = over_draws(
        FirmMethods.compute_profit_hessians, "prices", "costs"
    )
    compute_markups = over_draws(FirmMethods.compute_markups, "prices", "costs")
    compute_profits = over_draws(
        FirmMethods.compute_profits, "prices", "shares", "costs"
    )
    compute_hhi = over_draws(FirmMethods.compute_hhi, "shares")
    compute_consumer_surpluses = over_draws(
        FirmMethods.compute_consumer_surpluses, "prices"
    )
    compute_compensating_variations = over_draws(
        FirmMethods.compute_compensating_variations, "new_prices", "prices"
    )


def _read_draws(given: Any, name: str, draws: int, faults: Faults) -> Floats:
    """Read an argument with a leading axis of draws."""
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim not in (2, 3) or len(values) != draws:
        faults.add(
            f"{name} of shape {values.shape}",
            f"numbers with a leading axis of {draws} draws",
            "pass what methods of these results give",
        )
        return np.empty((draws, 0))
    return values
