"""Results of a simulation, under PyBLP's names."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..model.equilibrium import Equilibrium
from ..problem.fields import field_names
from ..records import Floats, Integers
from ..results.text_tables import Header, format_number, text_table
from ..simulation.profits import (
    ByFirm,
    eigenvalues,
    gradients_by_firm,
    hessians_by_firm,
    norms,
)
from ..simulation.solutions import Exogenous
from ..status import InversionStatus, PriceStatus
from .construction import build_blp_instruments
from .economy_methods import EconomyMethods
from .formulation import Formulation, build_matrix
from .integration import Integration
from .micro_methods import MicroMethods
from .pickles import save_pickle
from .structured_tables import simulated_products, structure

if TYPE_CHECKING:
    from .estimated_economy import EstimatedEconomy
    from .problem import Problem
    from .simulation import Simulation

_ATTRIBUTES = (
    "product_data",
    "delta",
    "costs",
    "computation_time",
    "fp_converged",
    "fp_iterations",
    "contraction_evaluations",
    "profit_gradients",
    "profit_gradient_norms",
    "profit_hessians",
    "profit_hessian_eigenvalues",
)


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """How the fixed points of all markets were found.

    Attributes
    ----------
    converged
        ``(T,)``.
    iterations, evaluations
        ``(T,)`` steps, and evaluations of the contraction.
    seconds
        From the call to its end.
    """

    converged: np.ndarray[Any, np.dtype[np.bool_]]
    iterations: Integers
    evaluations: Integers
    seconds: float


class SimulationResults(EconomyMethods, MicroMethods):
    """A solved simulation.

    Attributes
    ----------
    simulation
        The :class:`blpdask.Simulation`.
    product_data
        Its product data, with prices and shares replaced, or else characteristics.
    delta, costs
        ``(N, 1)`` δ and marginal costs; costs None without a supply side.
    computation_time
        Seconds.
    fp_converged, fp_iterations, contraction_evaluations
        ``(T,)`` how each market's fixed point was found, markets in sorted order.
    profit_gradients, profit_gradient_norms
        For each market, for each firm, the gradient of its profits by its prices, and
        its sup norm; None where not computed.
    profit_hessians, profit_hessian_eigenvalues
        The same of Hessians. Where all eigenvalues are negative prices are a local
        best response.
    """

    def __init__(
        self,
        simulation: Simulation,
        replaced: Mapping[str, Floats],
        delta: Floats,
        costs: Floats | None,
        search: Search,
        profit_gradients: ByFirm | None = None,
        profit_hessians: ByFirm | None = None,
    ) -> None:
        """Gather what was found; rows in the user's order."""
        data = simulation.product_data
        columns = {name: data[name] for name in field_names(data)}
        self.simulation = simulation
        self.product_data = simulated_products({**columns, **replaced})
        self.delta = delta.reshape(-1, 1)
        self.costs = None if costs is None else costs.reshape(-1, 1)
        self.computation_time = search.seconds
        self.fp_converged = search.converged
        self.fp_iterations = search.iterations
        self.contraction_evaluations = search.evaluations
        gradients, hessians = profit_gradients, profit_hessians
        self.profit_gradients = gradients
        self.profit_gradient_norms = None if gradients is None else norms(gradients)
        self.profit_hessians = hessians
        self.profit_hessian_eigenvalues = (
            None if hessians is None else eigenvalues(hessians)
        )

    def __str__(self) -> str:
        """Print how the fixed points were found."""
        header: list[Header] = [
            ("Computation", "Seconds"),
            ("Fixed Point", "Failures"),
            ("Fixed Point", "Iterations"),
            ("Contraction", "Evaluations"),
        ]
        cells = [
            f"{self.computation_time:.3f}",
            str(int((~self.fp_converged).sum())),
            str(int(self.fp_iterations.sum())),
            str(int(self.contraction_evaluations.sum())),
        ]
        if self.profit_gradient_norms is not None:
            header.append(("Profit Gradients", "Max Norm"))
            cells.append(
                format_number(float(np.nanmax(_all(self.profit_gradient_norms))))
            )
        if self.profit_hessian_eigenvalues is not None:
            found = _all(self.profit_hessian_eigenvalues)
            header += [
                ("Profit Hessians", "Min Eigenvalue"),
                ("Profit Hessians", "Max Eigenvalue"),
            ]
            cells += [
                format_number(float(np.nanmin(found))),
                format_number(float(np.nanmax(found))),
            ]
        return text_table("Simulation Results Summary", header, [cells])

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def to_dict(self, attributes: Sequence[str] = _ATTRIBUTES) -> dict[str, Any]:
        """Collect attributes by name."""
        return {name: getattr(self, name) for name in attributes}

    def to_pickle(self, path: str | Path) -> None:
        """Pickle the results, for PyBLP scripts."""
        save_pickle(self, path)

    def estimated_economy(self, what: str) -> EstimatedEconomy:
        """Give the simulation, with what was solved for, at its true parameters.

        Parameters
        ----------
        what
            Is asked for, for messages.
        """
        from .estimated_economy import of_simulation

        del what
        return of_simulation(self)

    def to_problem(
        self,
        product_formulations: Formulation | Sequence[Formulation | None] | None = None,
        product_data: Any = None,
        agent_formulation: Formulation | None = None,
        agent_data: Any = None,
        integration: Integration | None = None,
        rc_types: Sequence[str] | None = None,
        epsilon_scale: float | None = None,
        costs_type: str | None = None,
        add_exogenous: bool = True,
    ) -> Problem:
        """Make a problem of the solved simulation, of the same structure by default.

        The excluded instruments of demand are sums of exogenous characteristics of X1
        over other products and rivals (:func:`blpdask.build_blp_instruments`), then
        what shifts costs alone; those of supply the same of X3, then what shifts demand
        alone. Constant columns are left out. They are PyBLP's, made of the simulation's
        characteristics, before any were replaced.

        Parameters
        ----------
        product_formulations, product_data, agent_formulation, agent_data, \
integration, rc_types, epsilon_scale, costs_type, add_exogenous
            As in :class:`blpdask.Problem`; the simulation's where None.
        """
        from .problem import Problem

        own = self.simulation
        return Problem(
            own.product_formulations
            if product_formulations is None
            else product_formulations,
            self._with_instruments() if product_data is None else product_data,
            own.agent_formulation if agent_formulation is None else agent_formulation,
            own.agent_data if agent_data is None else agent_data,
            integration,
            own.rc_types if rc_types is None else rc_types,
            own.epsilon_scale if epsilon_scale is None else epsilon_scale,
            own.costs_type if costs_type is None else costs_type,
            add_exogenous,
        )

    def _with_instruments(self) -> np.recarray[Any, Any]:
        """Add PyBLP's default excluded instruments to the product data."""
        linear, _, cost = self.simulation.product_formulations
        shifters = {
            "demand": linear.parsed.names - {"prices"},
            "supply": frozenset() if cost is None else cost.parsed.names - {"shares"},
        }
        columns = {
            name: self.product_data[name] for name in field_names(self.product_data)
        }
        for side, other in (("demand", "supply"), ("supply", "demand")):
            if side == "supply" and cost is None:
                continue
            found = self._instruments(shifters[side], shifters[other] - shifters[side])
            if found.shape[1]:
                columns[f"{side}_instruments"] = found
        return structure(columns)

    def _instruments(self, own: frozenset[str], others: frozenset[str]) -> Floats:
        """Sum characteristics over products and rivals; add shifters, ``(N, M)``."""
        data = self.simulation.product_data
        counts = np.unique(data["market_ids"][:, 0], return_counts=True)[1]
        terms = ["1" if np.ptp(counts) else "0", *sorted(own)]
        parts = []
        if terms != ["0"]:
            sums = build_blp_instruments(Formulation(" + ".join(terms)), data)
            parts.append(sums[:, (sums != sums[0]).any(axis=0)])
        if others:
            formula = " + ".join(["0", *sorted(others)])
            parts.append(build_matrix(Formulation(formula), data))
        return np.hstack(parts) if parts else np.empty((len(data), 0))


def endogenous_results(
    simulation: Simulation,
    found: Equilibrium,
    began: float,
    *,
    gradients: bool,
    hessians: bool,
) -> SimulationResults:
    """Give results in which prices and shares are those of equilibrium."""
    demand, firms = simulation.demand, simulation.product_data["firm_ids"][:, 0]
    return SimulationResults(
        simulation,
        {"prices": found.prices, "shares": found.shares},
        found.delta,
        found.costs,
        Search(
            found.status == PriceStatus.CONVERGED,
            found.iterations,
            found.evaluations,
            time.perf_counter() - began,
        ),
        gradients_by_firm(demand, found.gradients, firms) if gradients else None,
        hessians_by_firm(demand, found.hessians, firms) if hessians else None,
    )


def exogenous_results(
    simulation: Simulation,
    found: Exogenous,
    began: float,
    places: Mapping[str, tuple[str, int]],
) -> SimulationResults:
    """Give results in which characteristics are such that prices are optimal."""
    products, supply = simulation.demand.products, simulation.demand.products.supply
    replaced: dict[str, Floats] = {}
    for name, (matrix, place) in places.items():
        if matrix == "X1":
            error = found.delta[:, None] - simulation.xi
            X, values = products.X1, simulation.beta
        else:
            assert supply is not None and simulation.omega is not None
            error = found.tilde_costs[:, None] - simulation.omega
            X, values = supply.X3, simulation.gamma
        replaced[name] = X[:, [place]] + (error - X @ values) / values[place]
    costs = None
    if found.tilde_costs.size:
        log = simulation.costs_type == "log"
        costs = np.exp(found.tilde_costs) if log else found.tilde_costs
    return SimulationResults(
        simulation,
        replaced,
        found.delta,
        costs,
        Search(
            found.status == InversionStatus.CONVERGED,
            found.iterations,
            found.evaluations,
            time.perf_counter() - began,
        ),
    )


def _all(by_firm: ByFirm) -> Floats:
    """Put the values of all markets and firms side by side."""
    found = [values for firms in by_firm.values() for values in firms.values()]
    return np.concatenate([np.ravel(values) for values in found])
