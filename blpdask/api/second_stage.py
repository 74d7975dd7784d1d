"""Regress fixed effects on characteristics, from tables as users have them.

The mathematics is in :mod:`blpdask.analysis.second_stage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..analysis.recovered_effects import RecoveredEffects
from ..analysis.second_stage import SecondStage, minimum_distance
from ..errors import Faults
from ..records import Floats

__all__ = ["SecondStage", "second_stage"]


def second_stage(
    effects: Any, X: Any, V: Any = None, *, names: Sequence[str] | None = None
) -> SecondStage:
    """Regress fixed effects on characteristics by minimum distance.

    Parameters
    ----------
    effects
        What :meth:`ProblemResults.recover_effects` gives, or ``(G,)`` numbers.
    X
        ``(G, K)`` characteristics in the order of the effects, with a column of ones
        where a constant is meant; or a DataFrame whose index has their levels, in any
        order.
    V
        ``(G, G)`` covariances of the effects; where None, those that come with them,
        and without those ordinary least squares.
    names
        Of the characteristics; the columns of a DataFrame by default.

    Returns
    -------
    SecondStage
        Coefficients, covariances, fit and a test of the overidentifying restrictions.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Examples
    --------
    >>> X = np.column_stack([np.ones(4), [0.0, 1.0, 2.0, 3.0]])
    >>> found = second_stage([1.0, 3.0, 5.0, 8.0], X, V=np.eye(4))
    >>> found.coefficients.round(2).tolist(), found.test.dof
    ([0.8, 2.3], 2)
    """
    faults = Faults("second_stage")
    levels: tuple[Any, ...] | None = None
    if isinstance(effects, RecoveredEffects):
        levels = effects.levels
        V = effects.covariances if V is None else V
        effects = effects.values
    d = _numbers(effects, "effects", faults).reshape(-1)
    labels = list(names) if names is not None else None
    if levels is not None and hasattr(X, "index") and hasattr(X, "columns"):
        labels = labels or [str(column) for column in X.columns]
        X = _by_level(X, levels, faults)
    elif hasattr(X, "columns"):
        labels = labels or [str(column) for column in X.columns]
    values = _numbers(X, "X", faults)
    values = values[:, None] if values.ndim == 1 else values
    covariances = None if V is None else _numbers(V, "V", faults)
    faults.check()
    labels = labels or [f"x{k}" for k in range(values.shape[-1])]
    _check(d, values, covariances, labels, faults)
    faults.check()
    return minimum_distance(d, values, covariances, labels)


def _numbers(given: Any, name: str, faults: Faults) -> Floats:
    """Read finite numbers."""
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        faults.add(f"{name} that is not numeric", "numbers", f"convert {name}")
        return np.zeros(0)
    if not np.isfinite(values).all():
        faults.add(f"{name} with NaN or infinite values", "finite numbers", "mend it")
    return values


def _by_level(X: Any, levels: tuple[Any, ...], faults: Faults) -> Any:
    """Bring the rows of a DataFrame into the order of the effects."""
    missing = [level for level in levels if level not in X.index]
    if missing or X.index.has_duplicates:
        faults.add(
            f"an index of X without {len(missing)} of the {len(levels)} levels "
            f"(such as {missing[:3]}), or with duplicates",
            "a row for every level of the effects, once",
            "index X by the levels, as products.groupby('product_ids').first() does; "
            "pass product_data to recover_effects where levels are mere numbers",
        )
        return np.zeros((len(levels), X.shape[1]))
    return X.loc[list(levels)]


def _check(
    d: Floats, X: Floats, V: Floats | None, labels: list[str], faults: Faults
) -> None:
    """Check shapes and ranks."""
    G = d.size
    if X.ndim != 2 or X.shape[0] != G or X.shape[1] >= G or X.shape[1] == 0:
        faults.add(
            f"X of shape {X.shape} for {G} effects",
            f"{G} rows, and fewer columns than that",
            "pass a row an effect",
        )
    elif np.linalg.matrix_rank(X / np.linalg.norm(X, axis=0)) < X.shape[1]:
        faults.add(
            "collinear characteristics", "columns of full rank", "drop some of them"
        )
    elif len(labels) != X.shape[1]:
        faults.add(
            f"{len(labels)} names of {X.shape[1]} columns",
            "a name each",
            "correct names",
        )
    if V is None:
        return
    if V.shape != (G, G) or not np.allclose(V, V.T, rtol=1e-8, atol=0):
        faults.add(
            f"V of shape {V.shape}, or not symmetric",
            f"a symmetric matrix of shape ({G}, {G})",
            "pass the covariances of the effects",
        )
        return
    scale = np.sqrt(np.abs(V.diagonal()))
    scaled = V / np.outer(scale, scale) if scale.all() else V
    least = float(np.linalg.eigvalsh(scaled)[0])
    if not least > 1e-12:
        rank = int(np.linalg.matrix_rank(scaled))
        faults.add(
            f"V of rank {rank} that is not positive definite",
            f"rank {G}",
            "estimate with se_type='robust': clusters that are the effects' groups, or "
            "fewer than these, do not tell how effects vary; or pass another V",
        )
