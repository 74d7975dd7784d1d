"""What a simulation draws where data do not say it, in PyBLP's order.

One stream of ``numpy.random.RandomState(seed)`` gives, each only where it is missing:
shares U(0, 1) / J, prices U(0, 1), the variables that formulas of X1, X2 and X3 name,
formula after formula in sorted order, then those of demographics, all U(0, 1), and at
last (ξ, ω) from the bivariate normal distribution (Conlon and Gortmaker 2020,
section 5). The same seed gives PyBLP's numbers, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import Faults
from ..problem.agents import TYPES
from ..problem.fields import factorize, read_matrix
from ..problem.formulas import ParsedFormula
from ..problem.lag_indices import read_lags
from ..records import Floats

Columns = dict[str, np.ndarray[Any, Any]]
IDS = ("market_ids", "firm_ids", "nesting_ids", "product_ids", "clustering_ids")
_OF_PRODUCTS = {*IDS, "lag_indices", "ownership", "shares", "prices"}
_OF_AGENTS = {"market_ids", "agent_ids", "nodes", "weights", "availability", TYPES}


def complete_products(
    data: Any,
    formulas: Sequence[ParsedFormula | None],
    stream: np.random.RandomState,
    faults: Faults,
) -> Columns:
    """Read the variables of products and draw those that are missing.

    Parameters
    ----------
    data
        Table with ``market_ids`` and ``firm_ids``.
    formulas
        Of X1, X2 and X3.
    stream
        Where draws come from.

    Returns
    -------
    dict
        Matrices ``(N, M)`` by name.
    """
    found: Columns = {}
    for name in (*IDS, "ownership", "shares", "prices"):
        values = read_matrix(data, name, faults)
        if values is not None:
            found[name] = values.astype(object if name in IDS else np.float64)
    lags = read_lags(data, faults)
    if lags is not None:
        found["lag_indices"] = lags.rows[:, None]
    for name in ("market_ids", "firm_ids"):
        if name not in found or found[name].shape[1] != 1:
            faults.add(
                f"no column '{name}'" if name not in found else f"a matrix '{name}'",
                f"one column '{name}'",
                "add it, say with build_id_data",
            )
    faults.check()
    N = len(found["market_ids"])
    codes, _ = factorize(found["market_ids"][:, 0])
    if "shares" not in found:
        drawn = stream.uniform(size=N) / np.bincount(codes)[codes]
        found["shares"] = drawn[:, None]
    if "prices" not in found:
        found["prices"] = stream.uniform(size=N)[:, None]
    for formula in formulas:
        if formula is not None:
            names = formula.names - _OF_PRODUCTS - set(found)
            _complete(found, data, names, N, stream, faults)
    faults.check()
    return found


def complete_agents(
    given: Mapping[str, np.ndarray[Any, Any]],
    data: Any,
    formula: ParsedFormula | None,
    stream: np.random.RandomState,
    faults: Faults,
) -> Columns:
    """Read the demographics' variables and draw those that are missing.

    Parameters
    ----------
    given
        ``market_ids``, ``nodes`` and ``weights``, from data or from a rule, and
        ``availability`` of data.
    data
        Table of agents, or None.
    formula
        Of demographics, or None.
    stream
        Where draws come from.
    """
    found = dict(given)
    if formula is not None:
        names = formula.names - _OF_AGENTS
        _complete(found, data, names, len(found["market_ids"]), stream, faults)
    faults.check()
    return found


def draw_errors(
    n: int,
    stream: np.random.RandomState,
    *,
    xi_variance: float,
    omega_variance: float,
    correlation: float,
) -> tuple[Floats, Floats]:
    """Draw ξ and ω, ``(N, 1)`` each.

    Raises
    ------
    InputError
        Where the variances and the correlation are those of no distribution.

    Examples
    --------
    >>> stream = np.random.RandomState(0)
    >>> xi, omega = draw_errors(
    ...     1000, stream, xi_variance=4, omega_variance=1, correlation=0.5
    ... )
    >>> np.cov(xi[:, 0], omega[:, 0]).round(1).tolist()
    [[3.8, 1.0], [1.0, 1.0]]
    """
    faults = Faults("Simulation")
    for name, value in (("xi", xi_variance), ("omega", omega_variance)):
        if not 0 <= value < np.inf:
            faults.add(
                f"{name}_variance={value!r}",
                "a number >= 0",
                f"correct {name}_variance",
            )
    if not -1 <= correlation <= 1:
        faults.add(
            f"correlation={correlation!r}", "a number from -1 to 1", "correct it"
        )
    faults.check()
    variances = error_variances(xi_variance, omega_variance, correlation)
    both = stream.multivariate_normal([0, 0], variances, n, check_valid="ignore")
    return both[:, [0]], both[:, [1]]


def error_variances(
    xi_variance: float, omega_variance: float, correlation: float
) -> Floats:
    """Give the variance of ξ and ω, ``(2, 2)``."""
    covariance = correlation * np.sqrt(xi_variance * omega_variance)
    return np.array([[xi_variance, covariance], [covariance, omega_variance]])


def _complete(
    found: Columns,
    data: Any,
    names: frozenset[str] | set[str],
    n: int,
    stream: np.random.RandomState,
    faults: Faults,
) -> None:
    """Read variables in sorted order, and draw those that data have not."""
    for name in sorted(names):
        values = None if data is None else read_matrix(data, name, faults)
        if values is None:
            found[name] = stream.uniform(size=n)[:, None]
            continue
        if values.shape[1] != 1:
            faults.add(
                f"variable '{name}' with {values.shape[1]} columns",
                "one value a row",
                "give each of its columns a name of its own",
            )
        numeric = values.dtype.kind in "iufc"
        found[name] = values.astype(np.float64 if numeric else object)
