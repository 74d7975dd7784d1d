"""Product data: what was passed, checked whole, and made into X1, X2 and Z.

The instruments are the excluded ones, then the columns of X1 that do not depend on
prices. With absorbed effects, X1 and Z are residuals of the projection on the effects:
M X1 and M Z (Frisch and Waugh 1933), once for every θ to come.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import DataWarning, Faults, InputError
from ..moments.lags import Lags
from ..records import Floats, Integers
from .absorption import take_out
from .absorption_options import AbsorptionControls
from .clusters import cluster_columns, read_clusters
from .fields import (
    as_finite,
    build_design,
    factorize,
    read_field,
    read_matrix,
    read_numbers,
    read_vector,
    some,
)
from .formulas import Column, DesignMatrix, ParsedFormula
from .lag_indices import read_lags
from .supply_side import SupplyFields, SupplySide, build_supply, read_supply


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Products in the order of the user's rows.

    Attributes
    ----------
    market_codes
        ``(N,)`` place of each row's market among ``unique_market_ids``.
    unique_market_ids
        ``(T,)`` sorted.
    shares
        ``(N,)``.
    X1
        ``(N, K1)`` as formulated, effects not absorbed.
    X1_absorbed, ZD_absorbed
        ``(N, K1)`` and ``(N, MD)`` with effects absorbed.
    ZD
        ``(N, MD)`` instruments as they enter moment covariances: with effects absorbed,
        except where the user gave the whole of Z.
    X2
        ``(N, K2)``.
    X1_columns, X2_columns
        Their columns, with names and derivatives.
    ZD_names
        ``(MD,)`` names of the instruments.
    effects, absorption
        Codes ``(N,)`` of each absorbed effect, and when their absorption stops.
    clusters
        ``(N,)`` codes of clusters, ``(N, W)`` where there are W ways, or None.
    ids
        Identifiers, prices and ownership by name: firm_ids, product_ids, ….
    variables
        ``(N,)`` variables that formulas name, categorical ones too, by name.
    supply
        The supply side, None without one.
    nests, nesting_ids
        ``(N,)`` codes of nests and their ``(H,)`` sorted names; None and of size zero
        without nests.
    lags
        Which row each row follows, None where ``lag_indices`` are not there.
    """

    market_codes: Integers
    unique_market_ids: np.ndarray[Any, Any]
    shares: Floats
    X1: Floats
    X1_absorbed: Floats
    X2: Floats
    ZD: Floats
    ZD_absorbed: Floats
    X1_columns: tuple[Column, ...]
    X2_columns: tuple[Column, ...]
    ZD_names: tuple[str, ...]
    effects: tuple[Integers, ...]
    absorption: AbsorptionControls
    clusters: Integers | None
    ids: dict[str, np.ndarray[Any, Any]]
    variables: dict[str, np.ndarray[Any, Any]]
    supply: SupplySide | None = None
    nests: Integers | None = None
    nesting_ids: np.ndarray[Any, Any] = field(
        default_factory=lambda: np.empty(0, np.object_)
    )
    lags: Lags | None = None

    @property
    def n_products(self) -> int:
        """Count the rows, N."""
        return self.shares.size


def read_products(
    data: Any,
    linear: ParsedFormula,
    random: ParsedFormula | None,
    cost: ParsedFormula | None = None,
    *,
    add_exogenous: bool,
    absorption: AbsorptionControls,
    cost_absorption: AbsorptionControls | None = None,
) -> Products:
    """Read and check product data, with all faults in one message.

    Parameters
    ----------
    data
        Table with ``market_ids``, ``shares``, ``prices``, instruments and whatever the
        formulas name.
    linear, random, cost
        Formulas of X1, with effects to absorb, of X2, and of X3, with effects to
        absorb; None where there is none.
    add_exogenous
        Whether exogenous columns of X1 and X3 are added to the instruments; if not,
        effects are not absorbed into the instruments either.
    absorption, cost_absorption
        When the absorption of effects stops, in demand and supply.

    Raises
    ------
    InputError
        With every fault of the data.
    """
    faults = Faults("product_data")
    market_ids = read_vector(data, "market_ids", faults, required=True)
    if market_ids is not None and market_ids.size == 0:
        faults.add("no rows", "at least one product", "pass product data")
        faults.check()
    shares = read_numbers(data, "shares", faults, required=True)
    X1 = _design(data, linear, "X1", faults)
    X2 = _design(data, random, "X2", faults) if random is not None else None
    _check_prices(data, linear, random, faults)
    excluded = _excluded_instruments(data, faults)
    clusters = read_clusters(data, faults)
    nests, nesting_ids = read_nests(data, faults)
    lags = read_lags(data, faults)
    ids = read_identifiers(data, faults)
    supplied: SupplyFields | None = None
    if cost is not None:
        markets = None if market_ids is None else factorize(market_ids)[0]
        supplied = read_supply(data, cost, faults, markets=markets)
    if market_ids is not None:
        codes, unique = factorize(market_ids)
        _check_markets(codes, unique, shares, ids.get("product_ids"), faults)
        matrices = {
            "shares": shares,
            "X1": None if X1 is None else X1.values,
            "X2": None if X2 is None else X2.values,
            "demand_instruments": excluded,
            "clustering_ids": clusters,
            "nesting_ids": nests,
            "lag_indices": None if lags is None else lags.rows,
            **ids,
            **_lengths_of(supplied),
        }
        absorbed = {
            name: read_field(data, name) for name in _absorbed_names(linear, cost)
        }
        _check_lengths(codes.size, matrices | absorbed, faults)
    effects = _effects(data, linear, faults)
    if cost is not None:
        _effects(data, cost, faults)
    faults.check()
    assert X1 is not None and shares is not None
    exogenous = [c for c in X1.columns if "prices" not in c.names and add_exogenous]
    keep = [i for i, c in enumerate(X1.columns) if c in exogenous]
    Z = (
        np.hstack([excluded, X1.values[:, keep]])
        if excluded is not None
        else (X1.values[:, keep])
    )
    both = take_out(np.hstack([X1.values, Z]), effects, absorption)
    X1_absorbed, ZD_absorbed = (
        both[:, : X1.values.shape[1]],
        both[:, X1.values.shape[1] :],
    )
    n_excluded = Z.shape[1] - len(keep)
    names = [f"demand_instruments{i}" for i in range(n_excluded)]
    return Products(
        market_codes=codes,
        unique_market_ids=unique,
        shares=shares,
        X1=X1.values,
        X1_absorbed=X1_absorbed,
        X2=X2.values if X2 is not None else np.empty((shares.size, 0)),
        ZD=ZD_absorbed if add_exogenous else Z,
        ZD_absorbed=ZD_absorbed,
        X1_columns=tuple(X1.columns),
        X2_columns=tuple(X2.columns) if X2 is not None else (),
        ZD_names=(*names, *(X1.columns[i].name for i in keep)),
        effects=effects,
        absorption=absorption,
        clusters=clusters,
        ids=ids,
        variables=_variables(data, X1, X2, supplied),
        supply=None
        if supplied is None or cost is None
        else build_supply(
            data,
            supplied,
            cost,
            X1.columns,
            () if X2 is None else X2.columns,
            add_exogenous=add_exogenous,
            absorption=cost_absorption or absorption,
        ),
        nests=nests,
        nesting_ids=nesting_ids,
        lags=lags,
    )


def _design(
    data: Any, formula: ParsedFormula, name: str, faults: Faults
) -> DesignMatrix | None:
    """Evaluate a formula, moving its faults to the common list."""
    if "shares" in formula.names:
        faults.add(
            f"shares in the formula of {name}",
            "characteristics only",
            f"take shares out of the formula of {name}",
        )
        return None
    return build_design(data, formula, faults)


def _check_prices(
    data: Any, linear: ParsedFormula, random: ParsedFormula | None, faults: Faults
) -> None:
    names = set(linear.names) | (set(random.names) if random is not None else set())
    prices = read_field(data, "prices")
    if prices is not None and prices.dtype.kind not in "biuf":
        faults.add(
            f"'prices' that are not numeric ({prices.dtype}), say {prices.flat[0]!r}",
            "numbers",
            "convert prices to numbers; a formula would take them as categories",
        )
    if "prices" not in names:
        faults.add(
            "prices neither in X1 nor in X2",
            "prices in at least one of them",
            "add prices to a formula",
        )


def _excluded_instruments(data: Any, faults: Faults) -> Floats | None:
    values = read_matrix(data, "demand_instruments", faults)
    if values is None:
        return None
    return as_finite(values, "demand_instruments", faults)


def read_nests(
    data: Any, faults: Faults
) -> tuple[Integers | None, np.ndarray[Any, Any]]:
    """Read the nest of each product: codes ``(N,)`` and sorted names ``(H,)``."""
    values = read_vector(data, "nesting_ids", faults)
    if values is None:
        return None, np.empty(0, np.object_)
    codes, unique = factorize(values)
    if (codes < 0).any():
        faults.add(
            f"{(codes < 0).sum()} missing values in 'nesting_ids'",
            "a nest for every product",
            "fill them in; a product by itself is a nest of its own",
        )
    return codes, unique


def read_identifiers(data: Any, faults: Faults) -> dict[str, np.ndarray[Any, Any]]:
    """Read identifiers that are carried along."""
    found = {}
    for name in ("market_ids", "firm_ids", "nesting_ids"):
        values = read_vector(data, name, Faults(name))
        if values is not None:
            found[name] = values
    ways = list(cluster_columns(data, Faults("clustering_ids")).values())
    if len({len(values) for values in ways}) == 1:
        matrix = [np.asarray(values, dtype=object) for values in ways]
        found["clustering_ids"] = ways[0] if len(ways) == 1 else np.column_stack(matrix)
    for name in ("product_ids", "prices", "ownership"):
        values = read_matrix(data, name, faults)
        if values is not None:
            found[name] = values
    return found


def _check_markets(
    codes: Integers,
    unique: np.ndarray[Any, Any],
    shares: Floats | None,
    product_ids: np.ndarray[Any, Any] | None,
    faults: Faults,
) -> None:
    """Check what must hold within markets."""
    if (codes < 0).any():
        faults.add(
            f"{(codes < 0).sum()} rows without a market (NaN in market_ids)",
            "a market for every row",
            "fill market_ids in or drop those rows",
        )
    if shares is not None and shares.size == codes.size:
        _check_shares(codes, unique, shares, faults)
    placed = bool((codes >= 0).all())
    if placed and product_ids is not None and len(product_ids) == codes.size:
        _warn_of_duplicates(codes, unique, product_ids[:, 0])


def _check_shares(
    codes: Integers, unique: np.ndarray[Any, Any], shares: Floats, faults: Faults
) -> None:
    low = np.flatnonzero(shares <= 0)
    if low.size:
        faults.add(
            f"{low.size} shares that are zero or negative (rows {some(low)})",
            "shares between 0 and 1, exclusive",
            "drop those products or correct for zero sales before estimating: a logit "
            "share is never zero",
        )
    known = codes >= 0
    totals = np.bincount(codes[known], shares[known], minlength=unique.size)
    full = unique[totals >= 1]
    if full.size:
        faults.add(
            f"shares that sum to 1 or more in {full.size} markets ({some(full)})",
            "sums below 1: the outside good needs a share",
            "divide by a market size that includes the outside good",
        )


def _warn_of_duplicates(
    codes: Integers, unique: np.ndarray[Any, Any], product_ids: np.ndarray[Any, Any]
) -> None:
    """Warn of identifiers that a market has twice: rows, or groups of products."""
    products, _ = factorize(product_ids)
    pairs = codes * (int(products.max()) + 2) + products + 1
    order = np.argsort(pairs, kind="stable")
    again = order[1:][np.diff(pairs[order]) == 0]
    if again.size:
        shown = [f"{product_ids[i]} in {unique[codes[i]]}" for i in again[:8]]
        warnings.warn(
            f"{again.size} products are listed twice in a market ({some(shown)}); "
            "merge duplicate rows, unless product_ids are groups of products",
            DataWarning,
            stacklevel=4,
        )


def _variables(
    data: Any,
    X1: DesignMatrix,
    X2: DesignMatrix | None,
    supplied: SupplyFields | None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Read the variables that the columns of X1, X2 and X3 depend on."""
    X3 = None if supplied is None else supplied.design
    columns = [c for X in (X1, X2, X3) if X is not None for c in X.columns]
    names = sorted({name for column in columns for name in column.names})
    found = {name: read_field(data, name) for name in names}
    return {name: values for name, values in found.items() if values is not None}


def _check_lengths(
    n: int, columns: Mapping[str, np.ndarray[Any, Any] | None], faults: Faults
) -> None:
    """Check that every column has a value a row."""
    for name, values in columns.items():
        if values is not None and len(values) != n:
            faults.add(
                f"{len(values)} rows of {name} but {n} of market_ids",
                "columns of one length",
                "pass one table with a row a product and market",
            )


def _lengths_of(
    supplied: SupplyFields | None,
) -> dict[str, np.ndarray[Any, Any] | None]:
    """List the supply side's arrays, for their lengths."""
    if supplied is None:
        return {}
    return {
        "X3": None if supplied.design is None else supplied.design.values,
        "supply_instruments": supplied.instruments,
        "covariance_instruments": supplied.covariances,
        "ownership": supplied.ownership,
    }


def _absorbed_names(*formulas: ParsedFormula | None) -> list[str]:
    """List the variables that absorbed effects name."""
    given = [formula for formula in formulas if formula is not None]
    terms = [term for formula in given for term in formula.absorbed_terms]
    return sorted({name for term in terms for name in term})


def _effects(data: Any, linear: ParsedFormula, faults: Faults) -> tuple[Integers, ...]:
    """Give each absorbed effect its codes, moving faults to the common list."""
    if len(faults):
        return ()
    try:
        return linear.groups(data)
    except InputError as error:
        faults.extend(error)
        return ()


def warn_of_collinearity(products: Products, atol: float, rtol: float) -> None:
    """Warn of columns that the columns before them explain, naming them.

    The diagonal of R in X = QR is the norm of what the columns before leave of a
    column; it is held against ``atol + rtol sd(x)``.
    """
    if max(atol, rtol) <= 0:
        return
    matrices = {
        "X1": (products.X1_absorbed, [c.name for c in products.X1_columns]),
        "X2": (products.X2, [c.name for c in products.X2_columns]),
        "ZD": (products.ZD, list(products.ZD_names)),
    }
    if (supply := products.supply) is not None:
        matrices["X3"] = supply.X3_absorbed, [c.name for c in supply.X3_columns]
        matrices["ZS"] = supply.ZS, list(supply.ZS_names)
        if supply.ZC is not None:
            matrices["ZC"] = supply.ZC, list(supply.ZC_names)
    for name, (values, labels) in matrices.items():
        if values.size == 0:
            continue
        left = np.abs(np.diag(np.linalg.qr(values, mode="r")))
        short = left < atol + rtol * values.std(axis=0)[: left.size]
        if short.any() or values.shape[1] > values.shape[0]:
            beyond = labels[left.size :]
            found = [label for label, s in zip(labels, short, strict=False) if s]
            listed = ", ".join([*found, *beyond])
            own = products.effects if name in ("X1", "ZD") else ()
            if products.supply is not None and name in ("X3", "ZS"):
                own = products.supply.effects
            effects = bool(own)
            absorbed = " (effects are absorbed)" if effects else ""
            warnings.warn(
                f"collinear columns of {name}{absorbed}: [{listed}] can be written in "
                "terms of the columns before them; drop them, or set "
                "options.collinear_atol = options.collinear_rtol = 0 not to be told",
                DataWarning,
                stacklevel=3,
            )
