"""Build how firms weigh each other's profits from who owns and controls them.

The mathematics is in :mod:`blpdask.problem.partial_ownership`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Faults
from ..problem.fields import some
from ..problem.partial_ownership import profit_weights
from ..records import Floats

if TYPE_CHECKING:
    import pandas as pd

#: How far the shares of a firm may add up to more than one by rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ProfitWeights:
    """Weights κ(f, g) of firms on each other's profits: call it with two firms' ids.

    Attributes
    ----------
    places
        Row and column of each firm.
    kappa
        ``(F, F)`` κ, row f and column g.
    """

    places: dict[Hashable, int]
    kappa: Floats

    def __call__(self, f: Any, g: Any) -> float:
        """Give the weight that firm f puts on the profit of firm g.

        Raises
        ------
        InputError
            Where a firm is not listed.
        """
        missing = [firm for firm in dict.fromkeys((f, g)) if firm not in self.places]
        if missing:
            faults = Faults("build_profit_weights")
            faults.add(
                f"no stakes in firms {some(missing)}",
                f"a column for every firm; there are {some(list(self.places))}",
                "add a column, of zeros for a firm that is run for itself; IDs are "
                "compared as they are, 2 is not '2'",
            )
            faults.check()
        return float(self.kappa[self.places[f], self.places[g]])

    def to_frame(self) -> pd.DataFrame:
        """List all weights.

        Returns
        -------
        pandas.DataFrame
            Row f and column g.
        """
        import pandas as pd

        firms = pd.Index(list(self.places), dtype=object)
        return pd.DataFrame(self.kappa, index=firms, columns=firms)

    def __repr__(self) -> str:
        """Print the weights."""
        return str(self.to_frame())


def build_profit_weights(
    stakes: pd.DataFrame, control: pd.DataFrame | None = None
) -> ProfitWeights:
    """Build how firms weigh each other's profits from who owns and controls them.

    A firm weighs what its owners get by how far they control it: with stakes β_of of
    owner o in firm f, and control γ_of, the weight of firm f on firm g's profit is
    Σ_o γ_of β_og / Σ_o γ_of β_of (O'Brien and Salop 2000).

    Parameters
    ----------
    stakes
        Shares of firms' profits, a row an owner and a column a firm, under the firms'
        ids; columns add up to at most one. What is missing to one belongs to owners
        with no say and no other stakes. Firms that own shares of firms are not looked
        through: list their ultimate owners.
    control
        How far each owner controls each firm, with the same rows and columns; the scale
        of a column does not matter. None: in proportion to stakes. Silent interests
        have zeros. A firm whose column is all zeros is run for itself alone.

    Returns
    -------
    ProfitWeights
        A function of two firms' ids, for ``kappa_specification`` of
        :func:`blpdask.build_ownership`; prints all weights.

    Raises
    ------
    InputError
        With every fault of the tables.

    Examples
    --------
    The owner of firm a buys a silent interest of 25 % in firm b:

    >>> import pandas as pd
    >>> stakes = pd.DataFrame({"a": [1.0, 0.0], "b": [0.25, 0.75]}, ["Ann", "Bob"])
    >>> control = pd.DataFrame({"a": [1, 0], "b": [0, 1]}, ["Ann", "Bob"])
    >>> kappa = build_profit_weights(stakes, control)
    >>> kappa
         a     b
    a  1.0  0.25
    b  0.0  1.00
    >>> from blpdask import build_ownership
    >>> build_ownership({"market_ids": [0, 0], "firm_ids": ["a", "b"]}, kappa)
    array([[1.  , 0.25],
           [0.  , 1.  ]])
    """
    faults = Faults("build_profit_weights")
    beta = _read(stakes, "stakes", faults)
    gamma = None if control is None else _read(control, "control", faults)
    if beta is not None:
        _check_stakes(beta, list(stakes.columns), faults)
    if beta is not None and control is not None and gamma is not None:
        gamma = _align(stakes, control, faults)
    faults.check()
    assert beta is not None
    firms = list(stakes.columns)
    kappa = profit_weights(beta, beta if gamma is None else gamma)
    lost = [
        firm
        for firm, row in zip(firms, kappa, strict=True)
        if not np.isfinite(row).all()
    ]
    if lost:
        faults.add(
            f"firms that those control who own none of them ({some(lost)})",
            "for each firm an owner with both a stake and control, or no control",
            "correct stakes or control",
        )
    faults.check()
    return ProfitWeights({firm: place for place, firm in enumerate(firms)}, kappa)


def _read(given: Any, name: str, faults: Faults) -> Floats | None:
    """Read a table of owners by firms ``(O, F)``; None with a fault."""
    if not (hasattr(given, "columns") and hasattr(given, "index")):
        faults.add(
            f"{name} of type {type(given).__name__}",
            "a DataFrame, a row an owner and a column a firm",
            "wrap it: pandas.DataFrame(..., index=owners, columns=firms)",
        )
        return None
    twice = [
        str(label)
        for labels in (given.index, given.columns)
        for label in labels[labels.duplicated()].unique()
    ]
    if twice:
        faults.add(
            f"rows or columns of {name} that are there twice ({some(twice)})",
            "one row an owner and one column a firm",
            "add them up",
        )
    try:
        values = given.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        values = np.full((1, 1), np.nan)
    bad = int((~np.isfinite(values) | (values < 0)).sum())
    if bad or not values.size:
        faults.add(
            f"{name} of shape {values.shape}, {bad} missing or negative",
            "numbers of at least zero, one for each owner and firm",
            f"correct {name}; zero stands for none",
        )
    return None if twice or bad or not values.size else values


def _check_stakes(beta: Floats, firms: list[Any], faults: Faults) -> None:
    """Check that no firm is owned more than once."""
    over = [
        f"{firm}: {total:g}"
        for firm, total in zip(firms, beta.sum(axis=0), strict=True)
        if total > 1.0 + _ROUNDING
    ]
    if over:
        faults.add(
            f"stakes that add up to more than one ({some(over)})",
            "shares of each firm's profits, 0.25 for 25 %",
            "divide them, or correct them",
        )


def _align(stakes: Any, control: Any, faults: Faults) -> Floats | None:
    """Put control in the order of stakes."""
    same = set(stakes.index) == set(control.index)
    if not same or set(stakes.columns) != set(control.columns):
        differing = [
            *stakes.index.symmetric_difference(control.index),
            *stakes.columns.symmetric_difference(control.columns),
        ]
        faults.add(
            f"owners or firms in stakes or control alone ({some(differing)})",
            "the same owners and the same firms in both",
            "add rows and columns of zeros",
        )
        return None
    ordered = control.loc[stakes.index, stakes.columns]
    return np.asarray(ordered.to_numpy(dtype=np.float64))
