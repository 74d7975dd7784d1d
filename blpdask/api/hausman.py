"""Build Hausman's instruments: what the same product costs elsewhere.

The mathematics, and what it assumes, is in :mod:`blpdask.problem.hausman`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults
from ..problem.fields import check_table, read_numbers, some
from ..problem.hausman import mean_elsewhere
from ..records import Floats, Integers
from .construction_rows import read_groups, same_length

__all__ = ["build_hausman_instruments"]


def build_hausman_instruments(
    product_data: Any,
    *,
    same: str | Sequence[str] = ("product_ids",),
    across: str = "market_ids",
    period: str | None = None,
    leave_out: str | None = None,
    prices: str = "prices",
    fallback: str | Sequence[str] = "raise",
) -> Floats:
    """Average the price of the same product in other markets.

    Parameters
    ----------
    product_data
        A row a product of a market, with the columns named below.
    same
        Columns that together say what a product is; ``"brand_ids"`` or ``"firm_ids"``
        average over a brand's or a firm's products.
    across
        Column that must differ: markets, or cities where a city has many markets.
    period
        Column that must be equal, if any, such as the quarter.
    leave_out
        Column that must differ as well, if any: with regions, no market of the same
        region is averaged over.
    prices
        Column to average.
    fallback
        What becomes of products that are sold nowhere else: ``"raise"`` lists them as
        a fault, ``"nan"`` leaves NaN, and columns take the place of ``same`` for them.

    Returns
    -------
    Floats
        ``(N, 1)`` mean prices elsewhere.

    Raises
    ------
    InputError
        With every fault of the arguments, or products that are sold nowhere else.

    References
    ----------
    Hausman (1996), "Valuation of New Goods under Perfect and Imperfect Competition".

    Examples
    --------
    >>> data = {
    ...     "market_ids": ["a", "b", "c"],
    ...     "product_ids": [1, 1, 1],
    ...     "prices": [1.0, 2.0, 6.0],
    ... }
    >>> build_hausman_instruments(data).ravel()
    array([4. , 3.5, 1.5])
    """
    faults = Faults("build_hausman_instruments")
    _check_names([across, prices], [period, leave_out], [same, fallback], faults)
    faults.check()
    columns = _Columns(
        same=_listed(same, period),
        different=(across,) if leave_out is None else (across, leave_out),
        instead=() if fallback in ("raise", "nan") else _listed(fallback, period),
    )
    rows = None
    if check_table(product_data, faults):
        rows = _read_rows(product_data, columns, prices, faults)
    faults.check()
    assert rows is not None
    means = mean_elsewhere(rows.prices, rows.same, rows.different).values
    if rows.instead is not None:
        instead = mean_elsewhere(rows.prices, rows.instead, rows.different).values
        means = np.where(np.isnan(means), instead, means)
    if fallback != "nan":
        _check_sold_elsewhere(means, columns, faults)
        faults.check()
    return means[:, None]


@dataclass(frozen=True, slots=True)
class _Columns:
    """Columns that are to be equal, to differ, or to be equal in place of the first."""

    same: tuple[str, ...]
    different: tuple[str, ...]
    instead: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Prices ``(N,)`` and the codes ``(N,)`` of the columns."""

    prices: Floats
    same: Integers
    different: tuple[Integers, ...]
    instead: Integers | None


def _listed(names: str | Sequence[str], period: str | None) -> tuple[str, ...]:
    """List columns that are to be equal, the period among them."""
    listed = (names,) if isinstance(names, str) else tuple(names)
    return listed if period is None else (*listed, period)


def _check_names(
    needed: Sequence[Any], optional: Sequence[Any], lists: Sequence[Any], faults: Faults
) -> None:
    """Look for arguments that name no columns."""
    single = [*needed, *[name for name in optional if name is not None]]
    for given in single:
        if not isinstance(given, str):
            faults.add(f"{given!r}", "the name of a column", "give a string")
    for given in lists:
        names = [given] if isinstance(given, str) else given
        listed = isinstance(names, Sequence) and len(names) > 0
        if not listed or not all(isinstance(name, str) for name in names):
            faults.add(
                f"{given!r}",
                "the name of a column, or a list of some",
                "give a string or strings",
            )


def _read_rows(
    data: Any, columns: _Columns, prices: str, faults: Faults
) -> _Rows | None:
    """Read prices and code the columns, all faults together."""
    values = read_numbers(data, prices, faults, required=True)
    same = read_groups(data, columns.same, faults)
    different = [read_groups(data, (name,), faults) for name in columns.different]
    instead = read_groups(data, columns.instead, faults) if columns.instead else None
    if values is None or same is None or len(faults):
        return None
    codes = [code for code in (same, *different, instead) if code is not None]
    labels = [
        prices,
        *map(", ".join, (columns.same, *[(c,) for c in columns.different])),
    ]
    if instead is not None:
        labels.append(", ".join(columns.instead))
    if not same_length(labels, [values, *codes], faults):
        return None
    return _Rows(values, same, tuple(codes[1 : 1 + len(different)]), instead)


def _check_sold_elsewhere(means: Floats, columns: _Columns, faults: Faults) -> None:
    """Look for rows that have nothing to average over."""
    alone = np.flatnonzero(np.isnan(means))
    if alone.size:
        same = " and ".join(columns.instead or columns.same)
        different = " and ".join(columns.different)
        faults.add(
            f"{alone.size} rows ({some(alone)}) without a row of the same {same} and "
            f"another {different}",
            "products that are sold elsewhere too",
            "drop these rows, leave out less, set fallback to columns of wider groups, "
            "such as 'firm_ids', or to 'nan'",
        )
