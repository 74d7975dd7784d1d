"""Build what a problem is made of from its products: ids, ownership, instruments.

The functions are PyBLP's (Conlon and Gortmaker 2020), with the same arguments, shapes
and numbers; the mathematics is in :mod:`blpdask.problem.ownership`,
:mod:`blpdask.problem.rival_sums` and :mod:`blpdask.problem.differentiation`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import Faults
from ..problem.differentiation import (
    local_instruments,
    quadratic_instruments,
    with_demographics,
)
from ..problem.fields import check_table
from ..problem.ownership import evaluate_kappa, stacked_ownership
from ..problem.rival_sums import rival_sums
from ..records import Floats
from .construction_rows import (
    is_count,
    read_demographics,
    read_ids,
    read_products,
    same_length,
)
from .formulation import Formulation
from .structured_tables import structure

__all__ = [
    "build_blp_instruments",
    "build_differentiation_instruments",
    "build_id_data",
    "build_ownership",
]

_VERSIONS = {"local": local_instruments, "quadratic": quadratic_instruments}


def build_id_data(T: int, J: int, F: int) -> np.recarray[Any, Any]:
    """Build ids of a balanced panel: every market has every product.

    Product j = 0, ..., J - 1 belongs to firm ⌊j F / J⌋: firms have J / F products each,
    or nearly so.

    Parameters
    ----------
    T
        Markets.
    J
        Products of each market.
    F
        Firms, at most J.

    Returns
    -------
    numpy.recarray
        T J records with the fields ``market_ids`` and ``firm_ids``.

    Raises
    ------
    InputError
        If arguments are not positive integers or F > J.

    Examples
    --------
    >>> build_id_data(T=2, J=3, F=2).firm_ids.ravel().tolist()
    [0, 0, 1, 0, 0, 1]
    """
    faults = Faults("build_id_data")
    for name, value in (("T", T), ("J", J), ("F", F)):
        if not is_count(value):
            faults.add(f"{name} = {value!r}", "a positive integer", f"correct {name}")
    if is_count(J) and is_count(F) and J < F:
        faults.add(
            f"F = {F} firms with J = {J} products",
            "a product for every firm",
            "lower F or raise J",
        )
    faults.check()
    markets = np.repeat(np.arange(T, dtype=np.int64), J)
    firms = np.tile(np.arange(J, dtype=np.int64) * int(F) // int(J), T)
    ids = {"market_ids": markets, "firm_ids": firms}
    return structure({name: codes.astype(object) for name, codes in ids.items()})


def build_ownership(
    product_data: Any,
    kappa_specification: str | Callable[[Any, Any], float] | None = None,
) -> Floats:
    """Build ownership matrices: how firms weigh the profits of products.

    Parameters
    ----------
    product_data
        A row a product, with columns ``market_ids`` and ``firm_ids``; the latter is not
        needed in the special cases.
    kappa_specification
        None: a firm cares about its own products. ``kappa(f, g)``: the weight that the
        firm with id f puts on the profit of the firm with id g, called once for every
        pair of firms that meet in a market. ``"monopoly"``: all weights are one.
        ``"single"``: every product is a firm of its own.

    Returns
    -------
    Floats
        ``(N, max J)`` stacked matrices of all markets, in row j and column k the weight
        that product j's firm puts on product k of its market; NaN in columns beyond a
        market's J.

    Raises
    ------
    InputError
        With every fault of the arguments, or where kappa gives no finite number.

    Examples
    --------
    >>> build_ownership({"market_ids": [0, 0, 1], "firm_ids": ["a", "b", "a"]})
    array([[ 1.,  0.],
           [ 0.,  1.],
           [ 1., nan]])
    """
    faults = Faults("build_ownership")
    special = kappa_specification in ("monopoly", "single")
    if not (special or kappa_specification is None or callable(kappa_specification)):
        faults.add(
            f"kappa_specification {kappa_specification!r}",
            "None, a function, 'monopoly' or 'single'",
            "choose one of these",
        )
    markets = firms = None
    if check_table(product_data, faults):
        markets = read_ids(product_data, "market_ids", faults)
        if not special:
            firms = read_ids(product_data, "firm_ids", faults)
    if markets is not None and firms is not None:
        columns = [markets.codes, firms.codes]
        same_length(["market_ids", "firm_ids"], columns, faults)
    faults.check()
    assert markets is not None
    if special:
        shared = kappa_specification == "monopoly"
        n = markets.codes.size
        codes = np.zeros(n, dtype=np.int64) if shared else np.arange(n, dtype=np.int64)
        return stacked_ownership(markets.codes, codes)
    assert firms is not None
    kappa = None
    if callable(kappa_specification):
        kappa = evaluate_kappa(
            kappa_specification, firms.levels, markets.codes, firms.codes
        )
    return stacked_ownership(markets.codes, firms.codes, kappa)


def build_blp_instruments(formulation: Formulation, product_data: Any) -> Floats:
    """Build sums of characteristics of other products and of rivals.

    The instruments of Berry, Levinsohn and Pakes (1995): for each characteristic its
    sum over the other products of the same firm and market, and its sum over the
    products of other firms in the market. A constant gives numbers of products.

    Parameters
    ----------
    formulation
        Characteristics.
    product_data
        A row a product, with columns ``market_ids``, ``firm_ids`` and what the
        formulation names.

    Returns
    -------
    Floats
        ``(N, 2 K)``: sums over other products, then sums over rivals.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Examples
    --------
    >>> data = {"market_ids": [0, 0, 0], "firm_ids": [0, 0, 1], "x": [1.0, 2.0, 4.0]}
    >>> build_blp_instruments(Formulation("0 + x"), data)
    array([[2., 4.],
           [1., 4.],
           [0., 3.]])
    """
    faults = Faults("build_blp_instruments")
    read = read_products(formulation, product_data, faults)
    faults.check()
    assert read is not None
    return rival_sums(read.values, read.markets.codes, read.firms.codes)


def build_differentiation_instruments(
    formulation: Formulation,
    product_data: Any,
    version: str = "local",
    interact: bool = False,
    demographics: Any = None,
) -> Floats:
    """Build differentiation instruments: how near other products and rivals are.

    Parameters
    ----------
    formulation
        Characteristics.
    product_data
        A row a product, with columns ``market_ids``, ``firm_ids`` and what the
        formulation names.
    version
        ``"local"`` counts products that differ by less than the standard deviation of
        all differences; ``"quadratic"`` sums squared differences.
    interact
        Whether to sum, in place of ones or squares, the close products' differences in
        every characteristic, or products of differences in two characteristics.
    demographics
        Beyond PyBLP: values with which all instruments are interacted as well, such as
        mean income in the market. An array ``(N,)`` or ``(N, D)`` has a row a product,
        ``(T,)`` or ``(T, D)`` a row a market in sorted order of ``market_ids``; a
        mapping or DataFrame names such arrays, and where it has a column ``market_ids``
        too its rows are markets in any order.

    Returns
    -------
    Floats
        ``(N, 2 M)``, other products of the firm and then rivals, where M is K, or with
        interactions K² (local: the difference varies fastest) or K (K + 1) / 2
        (quadratic); followed by as many columns for every demographic.

    Raises
    ------
    InputError
        With every fault of the arguments.

    References
    ----------
    Gandhi and Houde (2019), "Measuring Substitution Patterns in
    Differentiated-Products Industries".

    Examples
    --------
    >>> data = {"market_ids": [0, 0, 0], "firm_ids": [0, 0, 1], "x": [1.0, 2.0, 4.0]}
    >>> build_differentiation_instruments(Formulation("0 + x"), data, "quadratic")
    array([[ 1.,  9.],
           [ 1.,  4.],
           [ 0., 13.]])
    """
    faults = Faults("build_differentiation_instruments")
    if not isinstance(version, str) or version not in _VERSIONS:
        faults.add(f"version {version!r}", "'local' or 'quadratic'", "choose one")
    if not isinstance(interact, bool | np.bool_):
        faults.add(f"interact {interact!r}", "True or False", "choose one")
    read = read_products(formulation, product_data, faults)
    markets = None if read is None else read.markets
    traits = read_demographics(demographics, markets, faults)
    faults.check()
    assert read is not None
    instruments = _VERSIONS[version](
        read.values, read.markets.codes, read.firms.codes, crossed=bool(interact)
    )
    return instruments if traits is None else with_demographics(instruments, traits)
