"""Transfers to agents who choose eligible products, as one more random coefficient.

Agent i pays p_j - b_i for products of a set E. Where utility falls with all prices of
a market at one slope α_i, whatever they are,

    u_ij(p_j - b_i) = u_ij(p_j) - α_i b_i 1(j ∈ E),

which is a characteristic 1(j ∈ E) whose coefficient is one more demographic, -α_i b_i:
Σ has a row and a column of zeros for it, and Π a one. Derivatives by prices, with which
firms reckon, are those at p_j - b_i.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.parameters import Entry, Matrices, Parameters
from ..records import Floats
from .agents import Agents
from .demand_problem import DemandProblem, scaled
from .formula_expressions import Variable
from .formulas import Column
from .products import Products


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """What agents are paid, or pay where it is negative.

    Attributes
    ----------
    name
        Of the variable that is one for eligible products.
    amounts
        ``(A,)`` b_i, agents sorted by market.
    """

    name: str
    amounts: Floats


def free_name(products: Products) -> str:
    """Find a name that no variable has: ``transfers0``, ``transfers1``, …."""
    count = 0
    while f"transfers{count}" in products.variables:
        count += 1
    return f"transfers{count}"


def with_transfer(
    demand: DemandProblem,
    name: str,
    eligible: NDArray[np.bool_],
    utilities: Floats,
) -> DemandProblem:
    """Give agents more utility from eligible products.

    Parameters
    ----------
    demand
        The problem, with agents.
    name
        Of the characteristic and the demographic.
    eligible
        ``(N,)`` in the user's order.
    utilities
        ``(A,)`` -α_i b_i, agents sorted by market.
    """
    products, agents, tables = demand.products, demand.agents, demand.tables
    column = Column(name, name, frozenset([name]), Variable(name))
    mask = eligible.astype(np.float64)
    X2 = np.column_stack([products.X2, mask])
    agents = _with_demographic(agents, column, utilities)
    return replace(
        demand,
        products=replace(
            products,
            X2=X2,
            X2_columns=(*products.X2_columns, column),
            variables={**products.variables, name: mask},
        ),
        agents=agents,
        types=(*demand.types, "linear"),
        tables=replace(
            tables,
            X2=scaled(X2[demand.order], demand.epsilon_scale),
            draws=np.column_stack([tables.draws, utilities]),
        ),
    )


def with_coefficient(parameters: Parameters, name: str) -> Parameters:
    """Lay θ out beside one more characteristic and its demographic.

    Parameters
    ----------
    parameters
        The layout, whose free entries stay where they are.
    name
        Of the characteristic.
    """
    K2, D = parameters.start.pi.shape
    return replace(
        parameters,
        start=_bordered(parameters.start, 1.0),
        lower=_bordered(parameters.lower, 1.0),
        upper=_bordered(parameters.upper, 1.0),
        fixed=(*parameters.fixed, Entry("pi", K2, D)),
        types=(*parameters.types, "linear"),
        sigma_labels=(*parameters.sigma_labels, name),
        pi_labels=(*parameters.pi_labels, name),
    )


def _bordered(matrices: Matrices, corner: float) -> Matrices:
    """Border Σ and Π with zeros, and Π with a number in the corner."""
    border: dict[str, Any] = {"pad_width": ((0, 1), (0, 1))}
    pi = np.pad(matrices.pi, **border)
    pi[-1, -1] = corner
    return replace(matrices, sigma=np.pad(matrices.sigma, **border), pi=pi)


def _with_demographic(agents: Agents, column: Column, values: Floats) -> Agents:
    """Give agents one more demographic, which is the same for all products."""
    return replace(
        agents,
        demographics=np.column_stack([agents.demographics, values]),
        columns=(*agents.columns, column),
    )
