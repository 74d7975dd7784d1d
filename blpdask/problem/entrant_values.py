"""Mean utilities and marginal costs of products that enter.

    δ_j = x1_j'β + ξ_j,   c̃_j = x3_j'γ + ω_j,   c̃ = c, or log c,

with ξ and ω zero where nobody says otherwise. Where effects are absorbed nobody knows
those of a product that is not in the data, and where X3 has shares nobody knows those
of an entrant beforehand: δ, or c, is then given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats
from .entrants import Entrants, evaluate_columns
from .fields import field_names, read_numbers
from .formulas import Column
from .products import Products


def entrant_delta(
    data: Any, entrants: Entrants, products: Products, beta: Floats, faults: Faults
) -> Floats:
    """Give mean utilities of entrants at their prices, ``(M,)``, adding every fault.

    Parameters
    ----------
    data
        Table with ``delta``, or with or without ``xi``.
    entrants, products
        As read.
    beta
        ``(K1,)``.
    faults
        What every fault is added to.
    """
    needed = "X1 absorbs effects" if products.effects else None
    given = _read_given(data, "delta", "xi", entrants, needed, faults)
    if given is not None:
        return given
    xi = _read_error(data, "xi", entrants, faults)
    return xi + _explained(products.X1_columns, entrants, beta)


def entrant_costs(
    data: Any,
    entrants: Entrants,
    products: Products,
    gamma: Floats,
    faults: Faults,
    *,
    log_costs: bool,
    required: bool,
) -> Floats:
    """Give marginal costs of entrants, ``(M,)``, NaN where nothing says them.

    Parameters
    ----------
    data
        Table with ``costs``, or with or without ``omega``.
    entrants, products
        As read.
    gamma
        ``(K3,)``.
    faults
        What every fault is added to.
    log_costs
        Whether X3 explains log c.
    required
        Whether costs are a fault where nothing says them.
    """
    reason = _why_unknown(products)
    needed = reason if required or products.supply is not None else None
    given = _read_given(data, "costs", "omega", entrants, needed, faults)
    if given is not None:
        return given
    supply = products.supply
    if reason is not None or supply is None:
        return np.full(entrants.size, np.nan)
    omega = _read_error(data, "omega", entrants, faults)
    found = omega + _explained(supply.X3_columns, entrants, gamma)
    return np.exp(found) if log_costs else found


def _why_unknown(products: Products) -> str | None:
    """Say why X3 does not tell costs of entrants; None where it does."""
    supply = products.supply
    if supply is None:
        return "there is no X3"
    if supply.effects:
        return "X3 absorbs effects"
    if any("shares" in column.names for column in supply.X3_columns):
        return "X3 has shares"
    return None


def _read_given(
    data: Any,
    name: str,
    error: str,
    entrants: Entrants,
    needed: str | None,
    faults: Faults,
) -> Floats | None:
    """Read what entrants have themselves; a fault where it is missing but needed."""
    names = field_names(data)
    if name not in names:
        if needed is not None:
            faults.add(
                f"entrants without '{name}', although {needed}",
                f"a column '{name}'",
                f"add {name} of entrants",
            )
            return np.full(entrants.size, np.nan)
        return None
    if error in names:
        faults.add(
            f"entrants with both '{name}' and '{error}'",
            "one of them",
            f"drop '{error}', which is part of {name}",
        )
    values = read_numbers(data, name, faults)
    return np.full(entrants.size, np.nan) if values is None else values


def _read_error(data: Any, name: str, entrants: Entrants, faults: Faults) -> Floats:
    """Read ξ or ω of entrants, zero where they have none."""
    values = read_numbers(data, name, faults)
    return np.zeros(entrants.size) if values is None else values


def _explained(columns: Sequence[Column], entrants: Entrants, values: Floats) -> Floats:
    """Compute x'β of entrants, ``(M,)``."""
    unknown = np.full(entrants.size, np.nan)
    found: Floats = evaluate_columns(columns, entrants, unknown) @ values
    return found
