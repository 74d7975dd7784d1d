"""How likely agents are to choose j first and k if j's group were gone.

Of the choices g that are removed with j, nest h loses the part r_ih = Σ_{k∈g∩h} Q_ik,
and what is left of all choices is

    L_i = 1 - C_i,   C_i = 1[0∈g] P_i0 + Σ_h M_ih c_ih,   c_ih = 1 - (1 - r_ih)^(1-ρ_h),

so that choice k ∉ g, in nest h, gains

    G_ik = P_ik^-g - P_ik = P_ik (e^{ℓ_ik} - 1),   ℓ_ik = -ρ_h log(1 - r_ih) - log L_i,

the outside option with ρ = 0, and the cell has probability (Conlon and Gortmaker 2025)

    P_ijk = P_ij / P_ig G_ik,   P_ig = Σ_{j∈g} P_ij,

as in :mod:`blpdask.kernels.contract`. Written so, nothing is a difference of near
numbers, if 1 - r and L are summed over what is left where little is, and so are their
slopes: small shares have their digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..records import Floats
from .cells import FirstChoices, Slope


@dataclass(frozen=True, slots=True, eq=False)
class SecondChoices:
    """What agents choose once a group is gone.

    Attributes
    ----------
    gains
        ``(I, 1 + J)`` G, zero for what is gone.
    share
        ``(I,)`` P_ig.
    gain_slopes
        For each free parameter ``(I, 1 + J)`` dG.
    share_slopes
        For each ``(I,)`` dlog P_ig.
    """

    gains: Floats
    share: Floats
    gain_slopes: tuple[Floats, ...]
    share_slopes: tuple[Floats, ...]


@dataclass(frozen=True, slots=True)
class _Left:
    """What removing leaves.

    ``most_within`` ``(I, H)`` and ``most`` ``(I,)`` say whether more than half of a
    nest, and of all, are; ``log_within`` is log(1 - r), ``lost`` c, ``log_left`` log L
    and ``ell`` ℓ.
    """

    most_within: NDArray[np.bool_]
    log_within: Floats
    lost: Floats
    most: NDArray[np.bool_]
    log_left: Floats
    ell: Floats


def second_choices(first: FirstChoices, gone: NDArray[np.bool_]) -> SecondChoices:
    """Compute what agents choose once choices are gone, and its slopes.

    Parameters
    ----------
    first
        Their first choices.
    gone
        ``(I or 1, 1 + J)`` which choices are removed.
    """
    with np.errstate(all="ignore"):
        left = _remove(first, gone)
        gains = np.where(gone, 0.0, first.P * np.expm1(left.ell))
        share = (first.P * gone).sum(axis=1)
        slopes = [_slope(first, gone, left, gains, slope) for slope in first.slopes]
        shares = [
            (first.P * gone * slope.log_P).sum(axis=1) / share for slope in first.slopes
        ]
    # Where nothing is left, and nothing was there before, nothing is gained.
    gains = np.where(np.isfinite(gains), gains, 0.0)
    return SecondChoices(gains, share, tuple(slopes), tuple(shares))


def _remove(first: FirstChoices, gone: NDArray[np.bool_]) -> _Left:
    """Compute what is left within nests and of all."""
    inside, rho = gone[:, 1:], first.rho
    lost = _sums(first.Q * inside, first)
    kept = _sums(first.Q * ~inside, first)
    most_within = lost < 0.5
    log_within = np.where(most_within, np.log1p(-lost), np.log(kept))
    c = -np.expm1((1.0 - rho) * log_within)
    outside = first.P[:, 0]
    total = (first.M * c).sum(axis=1) + outside * gone[:, 0]
    remaining = outside * ~gone[:, 0] + (
        first.M * np.exp((1.0 - rho) * log_within)
    ).sum(axis=1)
    most = total < 0.5
    log_left = np.where(most, np.log1p(-total), np.log(remaining))
    ell = np.empty_like(first.P)
    ell[:, 0] = -log_left
    ell[:, 1:] = -(rho * _finite(log_within))[:, first.nests] - log_left[:, None]
    return _Left(most_within, log_within, c, most, log_left, ell)


def _slope(
    first: FirstChoices,
    gone: NDArray[np.bool_],
    left: _Left,
    gains: Floats,
    slope: Slope,
) -> Floats:
    """Differentiate G, ``(I, 1 + J)``."""
    inside, rho = gone[:, 1:], first.rho
    log_within = _finite(left.log_within)
    some_left = np.isfinite(left.log_within)
    of_Q = first.Q * slope.log_Q
    lost = np.where(
        left.most_within, _sums(of_Q * inside, first), -_sums(of_Q * ~inside, first)
    )
    per_kept = np.where(some_left, lost * np.exp(-log_within), 0.0)
    of_c = np.where(
        some_left,
        np.exp((1.0 - rho) * log_within)
        * ((1.0 - rho) * per_kept + slope.rho * log_within),
        0.0,
    )
    of_P = first.P * slope.log_P
    moved, within = _sums(of_P[:, 1:], first), first.M * of_c
    kept = np.exp((1.0 - rho) * left.log_within)
    total = (moved * left.lost + within).sum(axis=1) + of_P[:, 0] * gone[:, 0]
    remaining = (moved * kept - within).sum(axis=1) + of_P[:, 0] * ~gone[:, 0]
    of_left = np.where(left.most, total, -remaining) * np.exp(-left.log_left)
    of_ell = np.repeat(of_left[:, None], first.P.shape[1], axis=1)
    of_ell[:, 1:] += (rho * per_kept - slope.rho * log_within)[:, first.nests]
    found = gains * slope.log_P + first.P * np.exp(left.ell) * of_ell
    return np.where(gone | ~np.isfinite(found), 0.0, found)


def _sums(values: Floats, first: FirstChoices) -> Floats:
    """Sum over the products of nests, ``(I, J)`` to ``(I, H)``."""
    members = first.nests[:, None] == np.arange(first.rho.size)
    return np.asarray(values @ members.astype(np.float64))


def _finite(values: Floats) -> Floats:
    """Put zero for nests of which nothing is left."""
    return np.where(np.isfinite(values), values, 0.0)
