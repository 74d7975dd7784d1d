"""Optimal instruments of estimates, and the problem that has them, by PyBLP's names."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import options
from ..errors import DataWarning, Faults, InputError
from ..estimators.drawn_markets import Expectation, predicted_prices
from ..estimators.optimal_instruments import OptimalInstruments, optimal_instruments
from ..problem.demand_problem import DemandProblem
from ..problem.formula_data import count_rows
from ..problem.formulas import ParsedFormula
from ..progress import Listener
from ..records import Floats
from ..results.parameter_places import parameter_places
from .estimated_errors import estimated_errors
from .formulation import Formulation, build_matrix
from .iteration import Iteration
from .optimal_instrument_checks import check_dropped, check_expectation, check_shifters
from .pickles import save_pickle
from .price_search_text import price_search_table
from .printing import choose_listener
from .solve_checks import check_choices, check_engine, check_numbers
from .solved_problem import problem_of
from .stored import in_memory

if TYPE_CHECKING:
    from .problem import Problem
    from .results import ProblemResults

_ATTRIBUTES = (
    "demand_instruments",
    "supply_instruments",
    "inverse_covariance_matrix",
    "expected_xi_by_theta_jacobian",
    "expected_omega_by_theta_jacobian",
    "expected_prices",
    "expected_shares",
    "computation_time",
    "draws",
    "fp_converged",
    "fp_iterations",
    "contraction_evaluations",
)


class OptimalInstrumentResults:
    """Feasible optimal instruments (:mod:`blpdask.estimators.optimal_instruments`).

    Attributes
    ----------
    problem_results
        The estimates.
    demand_instruments, supply_instruments
        ``(N, P)`` optimal instruments for θ; those of supply ``(N, 0)`` without it.
    supply_shifter_formulation, demand_shifter_formulation
        What of X3 is not in X1, and what of X1 is not in X3: instruments of the other
        side. None without a supply side, or where there is no such thing.
    inverse_covariance_matrix
        Inverse covariance of ξ and ω ``(2, 2)``, or ``(1, 1)`` 1 / Var(ξ).
    expected_xi_by_theta_jacobian, expected_omega_by_theta_jacobian
        ``(N, P)`` E[∂ξ/∂θ | Z] and E[∂ω/∂θ | Z]; the latter NaN without a supply side.
    expected_prices, expected_shares
        ``(N, 1)``.
    computation_time
        Seconds.
    draws
        How many times errors were drawn.
    fp_converged, fp_iterations, contraction_evaluations
        ``(T, draws)`` how prices were found, markets in sorted order.
    """

    def __init__(
        self, problem_results: ProblemResults, found: OptimalInstruments, seconds: float
    ) -> None:
        """Gather what was found; rows in the user's order."""
        self.problem_results = problem_results
        self.demand_instruments = found.demand_instruments
        self.supply_instruments = found.supply_instruments
        self.inverse_covariance_matrix = found.inverse_covariance_matrix
        self.expected_xi_by_theta_jacobian = found.xi_by_theta
        self.expected_omega_by_theta_jacobian = found.omega_by_theta
        self.expected_prices = found.prices[:, None]
        self.expected_shares = found.shares[:, None]
        self.computation_time = seconds
        self.draws = found.converged.shape[1]
        self.fp_converged = found.converged
        self.fp_iterations = found.iterations
        self.contraction_evaluations = found.evaluations
        self.supply_shifter_formulation: Formulation | None = None
        self.demand_shifter_formulation: Formulation | None = None
        linear, _, cost = problem_of(problem_results).product_formulations
        if cost is not None:
            own, others = _shifters(linear, "prices"), _shifters(cost, "shares")
            self.supply_shifter_formulation = _sum_of(others - own)
            self.demand_shifter_formulation = _sum_of(own - others)

    def __str__(self) -> str:
        """Print how long it took and how prices were found."""
        return price_search_table(
            "Optimal Instrument Results Summary", "Error Term", self
        )

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def to_dict(self, attributes: Sequence[str] = _ATTRIBUTES) -> dict[str, Any]:
        """Collect attributes by name."""
        return {name: getattr(self, name) for name in attributes}

    def to_pickle(self, path: str | Path) -> None:
        """Pickle the results, for PyBLP scripts; the problem stays behind."""
        save_pickle(self, path)

    def to_problem(
        self,
        supply_shifter_formulation: Formulation | None = None,
        demand_shifter_formulation: Formulation | None = None,
        product_data: Any = None,
        drop_indices: Sequence[int] | None = None,
    ) -> Problem:
        """Make the problem anew with optimal instruments in place of its own.

        Excluded instruments of demand are the optimal ones for θ, but for φ and for
        parameters on exogenous linear characteristics; then, for coefficients on prices
        that are not in θ, those characteristics at expected prices; then, with a supply
        side, supply shifters. Those of supply are the optimal ones, characteristics
        with shares at expected shares where they are not in θ, and demand shifters.
        Columns of X1 without prices and of X3 without shares follow, and effects are
        absorbed.

        Parameters
        ----------
        supply_shifter_formulation, demand_shifter_formulation
            Shifters, this object's where None; intercepts are left out. Only with a
            supply side.
        product_data
            Table for shifters that the problem has no variables of, in the order of its
            rows.
        drop_indices
            Which columns of the optimal instruments to leave out, by their places in θ,
            in place of those on exogenous linear characteristics and on φ.

        Returns
        -------
        Problem
            To be solved as any other.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem.
        InputError
            With every fault of the arguments.
        """
        problem = problem_of(self.problem_results)
        demand = in_memory(problem.demand, "optimal instruments")
        faults = Faults("to_problem")
        shifters = check_shifters(
            (supply_shifter_formulation, demand_shifter_formulation),
            (self.supply_shifter_formulation, self.demand_shifter_formulation),
            supply=problem.K3 > 0,
            faults=faults,
        )
        P = self.demand_instruments.shape[1]
        dropped = check_dropped(drop_indices, P, faults)
        if dropped is None:
            dropped = self._without_instruments(demand)
        data = _variables(demand) if product_data is None else product_data
        built = [_build(shifter, data, problem.N, faults) for shifter in shifters]
        faults.check()
        Z_D = [self.demand_instruments[:, ~dropped], self._endogenous_X1(demand)]
        if not problem.K3:
            return problem.with_instruments(np.hstack(Z_D))
        Z_S = [self.supply_instruments[:, ~dropped], self._endogenous_X3(demand)]
        return problem.with_instruments(
            np.hstack([*Z_D, built[0]]), np.hstack([*Z_S, built[1]])
        )

    def _without_instruments(
        self, demand: DemandProblem
    ) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Flag parameters of θ on exogenous linear characteristics, and φ, (P,)."""
        places = parameter_places(self.problem_results.estimates)
        supply = demand.products.supply
        columns = {
            "beta": demand.products.X1_columns,
            "gamma": () if supply is None else supply.X3_columns,
        }
        return np.array(
            [
                place.matrix == "phi"
                or (
                    place.matrix in columns
                    and not {"prices", "shares"}
                    & columns[place.matrix][place.row].names
                )
                for place in places[: self.demand_instruments.shape[1]]
            ],
            np.bool_,
        )

    def _endogenous_X1(self, demand: DemandProblem) -> Floats:
        """Evaluate columns of X1 with concentrated coefficients at expected prices."""
        columns, estimates = demand.products.X1_columns, self.problem_results.estimates
        out = estimates.concentrated[: len(columns)]
        at = {"prices": self.expected_prices[:, 0]}
        rows = _variables(demand)
        found = [
            column.evaluate(rows, at)
            for column, flag in zip(columns, out, strict=True)
            if flag and "prices" in column.names
        ]
        return np.column_stack(found) if found else np.empty((demand.n_products, 0))

    def _endogenous_X3(self, demand: DemandProblem) -> Floats:
        """Evaluate columns of X3 with concentrated coefficients at expected shares."""
        assert demand.products.supply is not None
        columns = demand.products.supply.X3_columns
        out = self.problem_results.estimates.concentrated[-len(columns) :]
        at = {"shares": self.expected_shares[:, 0]}
        rows = _variables(demand)
        found = [
            column.evaluate(rows, at)
            for column, flag in zip(columns, out, strict=True)
            if flag and "shares" in column.names
        ]
        return np.column_stack(found) if found else np.empty((demand.n_products, 0))


def compute_optimal_instruments(
    results: ProblemResults,
    method: str,
    draws: int,
    seed: int | None,
    expected_prices: Any,
    iteration: Iteration | None,
    constant_costs: bool,
    *,
    engine: Any,
    threads: int | None,
    backend: str,
    blocks: int | None,
    progress: Listener | None,
) -> OptimalInstrumentResults:
    """Compute optimal instruments of results; see ``ProblemResults``."""
    began = time.perf_counter()
    problem = problem_of(results)
    demand = in_memory(problem.demand, "optimal instruments")
    if problem.MC:
        warnings.warn(
            "optimal instruments are those of the moments of demand and supply alone; "
            "to_problem keeps the covariance instruments",
            DataWarning,
            stacklevel=3,
        )
    faults = Faults("compute_optimal_instruments")
    check_choices({"backend": backend}, faults)
    check_numbers(0, threads, blocks, 0 if seed is None else seed, faults)
    supply = demand.products.supply
    how = check_expectation(
        Expectation(
            method,
            draws,
            seed,
            constant_costs=bool(constant_costs),
            log_costs=problem.costs_type == "log",
            backend=backend,
            n_blocks=blocks,
        ),
        expected_prices,
        iteration,
        n_products=problem.N,
        has_supply=supply is not None,
        faults=faults,
    )
    chosen = check_engine(engine, threads, faults)
    faults.check()
    assert chosen is not None
    follow = supply is not None and any("shares" in c.names for c in supply.X3_columns)
    searches = supply is not None and (iteration is not None or not follow)
    if how.prices is None and not searches:
        how = replace(how, prices=predicted_prices(demand))
    if results.estimates.phi.size:
        warnings.warn(
            "optimal instruments are those of errors in levels: they do not know of "
            "lags, and there are none for phi",
            DataWarning,
            stacklevel=3,
        )
    if options.verbose and progress is None:
        options.verbose_output("Computing optimal instruments for theta ...")
    found = optimal_instruments(
        demand,
        estimated_errors(results.estimates, problem.outline),
        how,
        chosen,
        choose_listener(progress),
        results.estimates.step,
    )
    seconds = time.perf_counter() - began
    instruments = OptimalInstrumentResults(results, found, seconds)
    if options.verbose and progress is None:
        options.verbose_output(f"\n{instruments}")
    return instruments


def _shifters(formulation: Formulation, endogenous: str) -> set[str]:
    """Name the terms of a formula that vary and are exogenous."""
    names = {
        term.label: ParsedFormula((term,), ()).names
        for term in formulation.parsed.terms
    }
    return {term for term, own in names.items() if own and endogenous not in own}


def _sum_of(terms: set[str]) -> Formulation | None:
    """Make a formulation of terms without an intercept, None of no term."""
    return Formulation(" + ".join(sorted(terms)) + " - 1") if terms else None


def _variables(demand: DemandProblem) -> dict[str, Any]:
    """Give the variables that a problem keeps."""
    products = demand.products
    prices = np.asarray(products.ids["prices"], dtype=np.float64).reshape(-1)
    kept = {"shares": products.shares, "prices": prices}
    return {**products.ids, **products.variables, **kept}


def _build(
    shifters: Formulation | None, data: Any, n_rows: int, faults: Faults
) -> Floats:
    """Build shifters ``(N, Q)``; faults where data lack variables."""
    none = np.empty((n_rows, 0))
    if shifters is None:
        return none
    try:
        found = build_matrix(shifters, data)
    except InputError as error:
        faults.extend(error)
        faults.add(
            f"shifters {shifters} that cannot be built",
            "variables of the problem's formulas, or product_data with others",
            "pass product_data with those variables",
        )
        return none
    if len(found) != n_rows:
        faults.add(
            f"product_data of {count_rows(data)} rows",
            f"the {n_rows} rows of the problem, in their order",
            "pass the table that the problem was made of",
        )
    return found
