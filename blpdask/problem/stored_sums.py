"""Sums over the blocks of a store that no θ changes: Z'X and Z'Z, effects absorbed.

X and Z are those of all equations, side by side: X1 and Z_D, then X3 and Z_S where
there is a supply side. Sums of Z'X are as accurate as in twice the precision (see
:mod:`blpdask.kernels.loop_sums`). Collinearity is found from the triangular factors of
the blocks: if X_b = Q_b R_b, then X = QR with R that of the stacked R_b.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataWarning
from ..moments.grouped_sums import instruments_of, subtract_levels
from ..records import JOINED, Equation, Floats, Integers, MarketBlock
from .clusters import count_divided
from .equation_sums import stacked_ZtX
from .outline import DemandOutline

#: Fields of the triangular factors of X1, X2, ZD, X3, ZS and ZC.
_FACTORS = ("R1", "R2", "RZ", "R3", "RS", "RC")


@dataclass(frozen=True, slots=True)
class SumsState:
    """What blocks need.

    Attributes
    ----------
    levels
        For each equation, levels of effects in [X | Z], ``(G_e, K + M)`` each.
    absorb_instruments
        Whether Z'Z is that of absorbed instruments.
    """

    levels: tuple[tuple[Floats, ...], ...]
    absorb_instruments: bool


@dataclass(frozen=True, slots=True)
class StoredSums:
    """Sums of a block.

    Attributes
    ----------
    ZtX
        ``(M, K)`` Z_D'X1 and Z_S'X3 on the diagonal, effects absorbed, in long doubles.
    ZtZ
        ``(M, M)`` Z'Z of the instruments as they enter covariances, of both equations
        side by side, then covariance instruments.
    sums, squares
        ``(K1 + K2 + MD + K3 + MS + MC,)`` of the columns of [X1 | X2 | ZD | X3 | ZS |
        ZC] and of their squares.
    n_divided
        ``(W,)`` markets whose products lie in several clusters, for each way.
    R1, R2, RZ, R3, RS, RC
        Triangular factors of X1, X2, ZD, X3, ZS and ZC, joined.
    """

    ZtX: Floats
    ZtZ: Floats
    sums: Floats
    squares: Floats
    n_divided: Integers
    R1: Floats = field(metadata=JOINED)
    R2: Floats = field(metadata=JOINED)
    RZ: Floats = field(metadata=JOINED)
    R3: Floats = field(metadata=JOINED)
    RS: Floats = field(metadata=JOINED)
    RC: Floats = field(metadata=JOINED)


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """X and Z of an equation, effects absorbed, and Z as it enters covariances."""

    X: Floats
    Z_absorbed: Floats
    Z: Floats


def stored_sums_pass(
    block: MarketBlock, state: SumsState, memory: object
) -> tuple[StoredSums, None]:
    """Absorb effects out of a block's X and Z and sum."""
    del memory
    assert block.linear is not None
    linear = block.linear()
    sides = [
        _absorb(
            equation,
            instruments_of(block, e),
            levels,
            absorb_instruments=state.absorb_instruments,
        )
        for e, (equation, levels) in enumerate(
            zip(linear.equations, state.levels, strict=True)
        )
    ]
    none = np.empty((block.n_products, 0))
    demand, supply = (*sides, _Side(none, none, none))[:2]
    X2 = block.epsilon_scale * block.X2.T
    ZC = none if linear.ZC is None else linear.ZC
    matrices = (demand.X, X2, demand.Z, supply.X, supply.Z, ZC)
    columns = np.hstack(matrices)
    Z = np.hstack([*(side.Z for side in sides), ZC])
    sums = StoredSums(
        ZtX=stacked_ZtX([(side.Z_absorbed, side.X) for side in sides]),
        ZtZ=(Z.T @ Z).astype(np.longdouble),
        sums=columns.sum(axis=0),
        squares=np.einsum("nk,nk->k", columns, columns),
        n_divided=count_divided(linear.clusters, block.product_offsets),
        **dict(zip(_FACTORS, map(_factor, matrices), strict=True)),
    )
    return sums, None


def warn_of_collinearity(
    sums: StoredSums, outline: DemandOutline, tolerances: tuple[float, float]
) -> None:
    """Warn of columns that the columns before them explain, naming them.

    The test is that of :func:`blpdask.problem.products.warn_of_collinearity`.
    """
    atol, rtol = tolerances
    if max(atol, rtol) <= 0:
        return
    N = outline.n_products
    deviations = np.sqrt(np.maximum(sums.squares / N - (sums.sums / N) ** 2, 0.0))
    names = {
        "X1": [column.name for column in outline.X1_columns],
        "X2": [column.name for column in outline.X2_columns],
        "ZD": list(outline.ZD_names),
        "X3": [column.name for column in outline.X3_columns],
        "ZS": list(outline.ZS_names),
        "ZC": list(outline.ZC_names),
    }
    effects = {
        "X2": 0,
        "X3": outline.n_cost_effects,
        "ZS": outline.n_cost_effects,
        "ZC": 0,
    }
    first = 0
    factors = (getattr(sums, name) for name in _FACTORS)
    for (matrix, labels), stacked in zip(names.items(), factors, strict=True):
        own = deviations[first : first + len(labels)]
        first += len(labels)
        if not labels:
            continue
        left = np.abs(np.diag(np.linalg.qr(stacked, mode="r")))
        short = left < atol + rtol * own[: left.size]
        found = [label for label, s in zip(labels, short, strict=False) if s]
        found += labels[left.size :]
        if found:
            n_effects = effects.get(matrix, outline.n_effects)
            absorbed = " (effects are absorbed)" if n_effects else ""
            warnings.warn(
                f"collinear columns of {matrix}{absorbed}: [{', '.join(found)}] can be "
                "written in terms of the columns before them; drop them, or set "
                "options.collinear_atol = options.collinear_rtol = 0 not to be told",
                DataWarning,
                stacklevel=3,
            )


def _absorb(
    equation: Equation,
    Z: Floats,
    levels: tuple[Floats, ...],
    *,
    absorb_instruments: bool,
) -> _Side:
    """Subtract the levels of an equation's effects from its X and Z."""
    both = np.hstack([equation.X, Z])
    if levels:
        both = subtract_levels(both, equation.effects, levels)
    K = equation.X.shape[1]
    Z_absorbed = np.ascontiguousarray(both[:, K:])
    return _Side(
        both[:, :K], Z_absorbed, Z_absorbed if absorb_instruments else equation.Z
    )


def _factor(values: Floats) -> Floats:
    """Give the triangular factor of a matrix."""
    return np.asarray(np.linalg.qr(values, mode="r"))
