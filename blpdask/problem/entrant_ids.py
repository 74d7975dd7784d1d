"""Who products that enter are: their firms, their names and their nests.

Identifiers are compared with those of the data as they are. A firm that the data do not
have is a new one, and a nest that they do not have is refused, for nothing says how
errors are correlated within it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Integers
from .fields import factorize, read_matrix, some
from .formula_data import Values
from .products import Products


def read_entrant_ids(
    data: Any, products: Products, faults: Faults
) -> dict[str, Values]:
    """Read the identifiers that the problem has, ``(M, …)`` by name.

    Parameters
    ----------
    data
        Table of entrants.
    products
        Of the problem.
    faults
        What every fault is added to.
    """
    found = {}
    for name in ("firm_ids", "product_ids", "nesting_ids"):
        own = products.ids.get(name)
        if own is None:
            continue
        values = read_matrix(data, name, faults)
        width = 1 if own.ndim == 1 else own.shape[1]
        if values is None or values.shape[1] != width:
            n = 0 if values is None else values.shape[1]
            faults.add(
                f"entrants with {n} columns of '{name}'",
                f"{width}, as product_data have",
                f"add {name} of entrants",
            )
            continue
        values = np.asarray(values, dtype=object)
        missing = sum(int((factorize(column)[0] < 0).sum()) for column in values.T)
        if missing:
            faults.add(
                f"entrants with {missing} missing '{name}'",
                "one in every row",
                "fill them in",
            )
        if name == "firm_ids":
            _check_firms(values, own, faults)
        found[name] = values[:, 0] if own.ndim == 1 else values
    return found


def read_entrant_nests(
    ids: Mapping[str, Values], products: Products, faults: Faults
) -> Integers | None:
    """Code the nests of entrants, ``(M,)``; None without nests.

    Parameters
    ----------
    ids
        Of :func:`read_entrant_ids`.
    products, faults
        As there.
    """
    if products.nests is None or "nesting_ids" not in ids:
        return None
    known = products.nesting_ids.tolist()
    place = {nest: h for h, nest in enumerate(known)}
    own = np.ravel(ids["nesting_ids"]).tolist()
    unknown = sorted({str(nest) for nest in own if nest not in place})
    if unknown:
        faults.add(
            f"entrants in {len(unknown)} nests that are not there ({some(unknown)})",
            f"nests of product_data: {some(known)}",
            "correct nesting_ids",
        )
    return np.array([place.get(nest, -1) for nest in own], np.int64)


def _check_firms(values: Values, own: Values, faults: Faults) -> None:
    """Refuse firms that are words where the data's are numbers, or the reverse."""
    ours = {isinstance(firm, str) for firm in np.ravel(own).tolist()}
    theirs = {isinstance(firm, str) for firm in values[:, 0].tolist()}
    if not theirs <= ours:
        faults.add(
            f"entrants with firm_ids such as {values[0, 0]!r} beside {own[0]!r}",
            "firm_ids of one type",
            "convert them; 2 is not '2', and would be another firm",
        )
