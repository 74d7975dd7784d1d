"""Sums over the blocks of a store that no θ changes: Z'X1 and Z'Z, effects absorbed.

Sums of Z'X1 are as accurate as in twice the precision (see
:mod:`blpdask.kernels.loop_sums`). Collinearity is found from the triangular factors of
the blocks: if X_b = Q_b R_b, then X = QR with R that of the stacked R_b.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataWarning
from ..kernels.sums import accurate_product
from ..moments.grouped_sums import subtract_levels
from ..records import JOINED, Floats, Integers, MarketBlock
from .outline import DemandOutline


@dataclass(frozen=True, slots=True)
class SumsState:
    """What blocks need: levels of effects in [X1 | Z], ``(G_e, K1 + MD)`` each.

    ``absorb_instruments`` says whether Z'Z is that of absorbed instruments.
    """

    levels: tuple[Floats, ...]
    absorb_instruments: bool


@dataclass(frozen=True, slots=True)
class StoredSums:
    """Sums of a block.

    Attributes
    ----------
    ZtX
        ``(MD, K1)`` Z'X1, effects absorbed, in long doubles.
    ZtZ
        ``(MD, MD)`` Z'Z of the instruments as they enter covariances.
    sums, squares
        ``(K1 + K2 + MD,)`` of the columns of [X1 | X2 | Z] and of their squares.
    n_divided
        Markets whose products lie in several clusters.
    R1, R2, RZ
        Triangular factors of X1, X2 and Z, joined.
    """

    ZtX: Floats
    ZtZ: Floats
    sums: Floats
    squares: Floats
    n_divided: int
    R1: Floats = field(metadata=JOINED)
    R2: Floats = field(metadata=JOINED)
    RZ: Floats = field(metadata=JOINED)


def stored_sums_pass(
    block: MarketBlock, state: SumsState, memory: object
) -> tuple[StoredSums, None]:
    """Absorb effects out of a block's X1 and Z and sum."""
    del memory
    assert block.linear is not None
    linear = block.linear()
    (demand,) = linear.equations
    both = np.hstack([demand.X, block.ZD])
    if state.levels:
        both = subtract_levels(both, demand.effects, state.levels)
    K1 = demand.X.shape[1]
    X1, ZD = both[:, :K1], np.ascontiguousarray(both[:, K1:])
    Z = ZD if state.absorb_instruments else demand.Z
    columns = np.hstack([X1, block.X2.T, Z])
    sums = StoredSums(
        ZtX=np.column_stack([accurate_product(ZD, x) for x in X1.T]),
        ZtZ=(Z.T @ Z).astype(np.longdouble),
        sums=columns.sum(axis=0),
        squares=np.einsum("nk,nk->k", columns, columns),
        n_divided=_count_divided(linear.clusters, block.product_offsets),
        R1=_factor(X1),
        R2=_factor(block.X2.T),
        RZ=_factor(Z),
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
    }
    first = 0
    factors = (sums.R1, sums.R2, sums.RZ)
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
            effects = outline.n_effects and matrix != "X2"
            absorbed = " (effects are absorbed)" if effects else ""
            warnings.warn(
                f"collinear columns of {matrix}{absorbed}: [{', '.join(found)}] can be "
                "written in terms of the columns before them; drop them, or set "
                "options.collinear_atol = options.collinear_rtol = 0 not to be told",
                DataWarning,
                stacklevel=3,
            )


def _count_divided(clusters: Integers | None, offsets: Integers) -> int:
    """Count the markets, ``offsets`` ``(T + 1,)``, with rows of several clusters."""
    if clusters is None:
        return 0
    first = np.repeat(clusters[offsets[:-1]], np.diff(offsets))
    other = np.add.reduceat(clusters != first, offsets[:-1], dtype=np.int64)
    return int(np.count_nonzero(other))


def _factor(values: Floats) -> Floats:
    """Give the triangular factor of a matrix."""
    return np.asarray(np.linalg.qr(values, mode="r"))
