"""The supply side's data: X3, its instruments, and who prices what.

The instruments are the excluded ones, then the columns of X3 that do not depend on
shares. With absorbed effects X3 and Z_S are residuals, as on the demand side. Products
with one firm are priced together; a table of ownership weights says otherwise (Conlon
and Gortmaker 2020, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers
from .absorption import take_out
from .absorption_options import AbsorptionControls
from .fields import as_finite, build_design, factorize, read_matrix, read_vector
from .formulas import Column, DesignMatrix, ParsedFormula
from .supply_checks import (
    MISSING_WEIGHTS,
    WEIGHTS_RULE,
    add_no_owners,
    check_costs_formula,
    check_width,
    missing_weights,
)


@dataclass(frozen=True, slots=True, eq=False)
class SupplySide:
    """What costs and first-order conditions of prices need, in the user's order.

    Attributes
    ----------
    X3, X3_absorbed
        ``(N, K3)`` as formulated and with effects absorbed.
    ZS, ZS_absorbed
        ``(N, MS)`` instruments as they enter moment covariances, and with effects
        absorbed.
    X3_columns, ZS_names
        The columns of X3, and the names of the instruments.
    effects, absorption
        Codes ``(N,)`` of each absorbed effect, and when their absorption stops.
    firms
        ``(N,)`` codes of firms; all zero where ownership is given.
    ownership
        ``(N, max J)`` weights on the profits of the market's products, in their order;
        None where firms say it all.
    prices
        ``(N,)``.
    X1_priced, X2_priced
        Places of the columns of X1 and X2 that depend on prices.
    X1_by_prices, X2_by_prices
        ``(N, Q)`` and ``(N, R)`` their derivatives.
    ZC
        ``(N, MC)`` covariance instruments, None where there are none.
    """

    X3: Floats
    X3_absorbed: Floats
    ZS: Floats
    ZS_absorbed: Floats
    X3_columns: tuple[Column, ...]
    ZS_names: tuple[str, ...]
    effects: tuple[Integers, ...]
    absorption: AbsorptionControls
    firms: Integers
    ownership: Floats | None
    prices: Floats
    X1_priced: Integers
    X2_priced: Integers
    X1_by_prices: Floats
    X2_by_prices: Floats
    ZC: Floats | None = None

    @property
    def ZC_names(self) -> tuple[str, ...]:
        """Name the covariance instruments."""
        n = 0 if self.ZC is None else self.ZC.shape[1]
        return tuple(f"covariance_instruments{m}" for m in range(n))


@dataclass(frozen=True, slots=True, eq=False)
class SupplyFields:
    """What was read of the supply side; None where there was a fault."""

    design: DesignMatrix | None
    instruments: Floats | None
    firms: Integers | None
    ownership: Floats | None
    prices: Floats | None
    covariances: Floats | None = None


def read_supply(
    data: Any, formula: ParsedFormula, faults: Faults, *, markets: Integers | None
) -> SupplyFields:
    """Read the supply side's columns, adding every fault.

    Parameters
    ----------
    data
        Product data with ``prices``, ``firm_ids`` or ``ownership``, and what the
        formula of X3 names.
    formula
        Of X3, with effects to absorb.
    markets
        ``(N,)`` codes of markets, where those could be read.
    """
    unpriced = check_costs_formula(formula, faults)
    design = build_design(data, formula, faults) if unpriced else None
    instruments = read_matrix(data, "supply_instruments", faults)
    if instruments is not None:
        instruments = as_finite(instruments, "supply_instruments", faults)
    covariances = read_matrix(data, "covariance_instruments", faults)
    if covariances is not None:
        covariances = as_finite(covariances, "covariance_instruments", faults)
    prices = read_matrix(data, "prices", faults)
    if prices is not None:
        prices = as_finite(prices, "prices", faults)
    firms, ownership = read_owners(data, markets, faults)
    return SupplyFields(
        design=design,
        instruments=instruments,
        firms=firms,
        ownership=ownership,
        prices=None if prices is None else prices[:, 0],
        covariances=covariances,
    )


def build_supply(
    data: Any,
    fields: SupplyFields,
    formula: ParsedFormula,
    X1: Sequence[Column],
    X2: Sequence[Column],
    *,
    add_exogenous: bool,
    absorption: AbsorptionControls,
) -> SupplySide:
    """Make X3, Z_S and derivatives by prices of fields that have no fault.

    Parameters
    ----------
    data, fields, formula
        As in :func:`read_supply`.
    X1, X2
        Columns of the demand side.
    add_exogenous
        Whether exogenous columns of X3 are added to the instruments.
    absorption
        When the absorption of effects stops.

    Raises
    ------
    InputError
        Where effects cannot be absorbed.
    """
    design, prices = fields.design, fields.prices
    assert design is not None and prices is not None and fields.firms is not None
    exogenous = [
        k
        for k, column in enumerate(design.columns)
        if add_exogenous and "shares" not in column.names
    ]
    parts = [] if fields.instruments is None else [fields.instruments]
    Z = np.hstack([*parts, design.values[:, exogenous]])
    effects = formula.groups(data) if formula.absorbed else ()
    both = take_out(np.hstack([design.values, Z]), effects, absorption)
    K3 = len(design.columns)
    n_excluded = Z.shape[1] - len(exogenous)
    X1_priced, X1_by_prices = by_prices(data, X1, prices.size)
    X2_priced, X2_by_prices = by_prices(data, X2, prices.size)
    return SupplySide(
        X3=design.values,
        X3_absorbed=both[:, :K3],
        ZS=both[:, K3:] if add_exogenous else Z,
        ZS_absorbed=both[:, K3:],
        X3_columns=tuple(design.columns),
        ZS_names=(
            *(f"supply_instruments{i}" for i in range(n_excluded)),
            *(design.columns[k].name for k in exogenous),
        ),
        effects=effects,
        absorption=absorption,
        firms=fields.firms,
        ownership=fields.ownership,
        prices=prices,
        X1_priced=X1_priced,
        X2_priced=X2_priced,
        X1_by_prices=X1_by_prices,
        X2_by_prices=X2_by_prices,
        ZC=fields.covariances,
    )


def number_owners(firms: Integers, offsets: Integers) -> Integers:
    """Give the owners of each market numbers from zero, ``(N,)``.

    Parameters
    ----------
    firms
        ``(N,)`` codes of firms, rows sorted by market.
    offsets
        ``(T + 1,)`` first row of each market, then N.

    Examples
    --------
    >>> number_owners(np.array([7, 3, 7, 7]), np.array([0, 3, 4])).tolist()
    [1, 0, 1, 0]
    """
    markets = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    pairs = markets * (int(firms.max(initial=0)) + 1) + firms
    unique, places = np.unique(pairs, return_inverse=True)
    first_of_market = np.searchsorted(unique, pairs[offsets[:-1]] - firms[offsets[:-1]])
    return np.asarray(places - first_of_market[markets], np.int64)


def flatten_ownership(ownership: Floats, offsets: Integers) -> Floats:
    """Lay each market's weights side by side, row-major, ``(Σ J_t²,)``.

    ``ownership`` ``(N, max J)`` has rows sorted by market.
    """
    sizes = np.repeat(np.diff(offsets), np.diff(offsets))
    inside = np.arange(ownership.shape[1]) < sizes[:, None]
    return np.ascontiguousarray(ownership[inside])


def read_owners(
    data: Any, markets: Integers | None, faults: Faults
) -> tuple[Integers | None, Floats | None]:
    """Read ownership weights, or else firms.

    Parameters
    ----------
    data
        Table with ``ownership`` or ``firm_ids``.
    markets
        ``(N,)`` codes of markets, where those could be read.

    Returns
    -------
    tuple
        ``(N,)`` codes of firms and ``(N, max J)`` weights; None where there are none.
    """
    ownership = read_matrix(data, "ownership", faults)
    if ownership is None:
        ids = read_vector(data, "firm_ids", faults)
        if ids is None:
            add_no_owners(faults)
            return None, None
        codes, _ = factorize(ids)
        if (codes < 0).any():
            faults.add(
                f"{(codes < 0).sum()} missing values in 'firm_ids'",
                "a firm for every product",
                "fill them in",
            )
        return codes, None
    firms = np.zeros(len(ownership), np.int64)
    if ownership.dtype.kind not in "biuf":
        faults.add("'ownership' that is not numeric", "numbers", "convert it")
        return firms, None
    if markets is not None and markets.size == len(ownership):
        _check_ownership(ownership, markets, faults)
    return firms, np.asarray(ownership, dtype=np.float64)


def _check_ownership(
    ownership: np.ndarray[Any, Any], markets: Integers, faults: Faults
) -> None:
    """Check that each market's weights are there."""
    sizes = np.bincount(markets[markets >= 0])
    if not check_width(ownership.shape[1], int(sizes.max(initial=0)), faults):
        return
    missing = missing_weights(ownership, sizes[markets])
    if missing.any():
        faults.add(f"{missing.sum()} rows of {MISSING_WEIGHTS}", *WEIGHTS_RULE)


def by_prices(
    data: Any, columns: Sequence[Column], n_rows: int
) -> tuple[Integers, Floats]:
    """Differentiate the columns that depend on prices: their places, ``(N, n)``."""
    priced = [k for k, column in enumerate(columns) if "prices" in column.names]
    slopes = [columns[k].derivative("prices", data) for k in priced]
    stacked = np.column_stack(slopes) if slopes else np.empty((n_rows, 0))
    return np.array(priced, np.int64), stacked
