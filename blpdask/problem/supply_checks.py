"""What a supply side asks of data, wherever they are: faults in one wording.

First-order conditions relate prices to costs, so that prices explain no costs; someone
prices every product, a firm or by weights of ownership, of which a market of J products
has J a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Faults
from ..records import Integers
from .formulas import ParsedFormula

Flags = NDArray[np.bool_]

#: What rows of ownership may not have, and what is expected instead.
MISSING_WEIGHTS = "ownership with missing weights"
WEIGHTS_RULE = (
    "a weight for each product of the market, NaN beyond",
    "make it with build_ownership",
)


def check_costs_formula(formula: ParsedFormula, faults: Faults) -> bool:
    """Tell whether the formula of X3 leaves prices out; a fault where not."""
    if "prices" not in formula.names:
        return True
    faults.add(
        "prices in the formula of X3",
        "characteristics that shift costs",
        "take prices out: first-order conditions relate them to costs",
    )
    return False


def add_no_owners(faults: Faults) -> None:
    """Add the fault that nothing says who prices what."""
    faults.add(
        "a supply side without 'firm_ids' or 'ownership'",
        "the firm of every product, or weights of ownership",
        "add a column 'firm_ids', or the matrix that build_ownership makes",
    )


def check_width(n_columns: int, largest: int, faults: Faults) -> bool:
    """Tell whether ownership has a column for each product of the largest market."""
    if n_columns >= largest:
        return True
    faults.add(
        f"{n_columns} columns of ownership",
        f"{largest}, as many as the largest market has products",
        "make it with build_ownership",
    )
    return False


def missing_weights(ownership: np.ndarray[Any, Any], sizes: Integers) -> Flags:
    """Tell which rows of ownership lack a weight on a product of their market.

    Parameters
    ----------
    ownership
        ``(N, at least max J)``.
    sizes
        ``(N,)`` J_t of each row's market.
    """
    inside = np.arange(ownership.shape[1]) < sizes[:, None]
    return np.asarray((inside & ~np.isfinite(ownership)).any(axis=1))
