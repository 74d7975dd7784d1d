"""Autocorrelated errors: what lags are, and the innovations that moments may be of.

Structural errors u = (ξ, ω) of a product follow those of its row a period before,

    u_j = φ u_l(j) + ũ_j,        φ = (φ_ξ φ_ξω; φ_ωξ φ_ω)  or  φ_ξ  of ξ alone,

where l(j) is the row that ``lag_indices`` says, row j itself in a first period. Moments
of an equation are of one of three types, or several stacked (Blundell and Bond 1998):

    levels                      u_j z_j,
    innovations                 ũ_j z_j,               zero where j has no lag,
    differenced innovations     (ũ_j - ũ_l(j)) z_j,    zero where l(j) has none.

The last keeps what is fixed about a product out (Arellano and Bond 1991). One period's
differenced innovations are correlated with the next's, of which only covariances by
clusters of products know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..records import Floats, Integers

MomentType = Literal["levels", "innovations", "differenced_innovations"]
MOMENT_TYPES: tuple[MomentType, ...] = (
    "levels",
    "innovations",
    "differenced_innovations",
)
#: Types of an equation's moments and how many columns of instruments each has, in turn.
Stacked = tuple[tuple[MomentType, int], ...]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class Lags:
    """Which row each row follows.

    Attributes
    ----------
    rows
        ``(N,)`` l(j), j itself in a first period; different where it is not.
    """

    rows: Integers

    @property
    def once(self) -> Flags:
        """Flag rows that have a lag, ``(N,)``."""
        return np.asarray(self.rows != np.arange(self.rows.size))

    @property
    def twice(self) -> Flags:
        """Flag rows whose lag has one too, ``(N,)``."""
        return np.asarray(self.once & self.once[self.rows])


def columns_by_type(types: Stacked) -> tuple[MomentType, ...]:
    """Name the type of every column of instruments.

    Examples
    --------
    >>> columns_by_type((("levels", 2), ("innovations", 1)))
    ('levels', 'levels', 'innovations')
    """
    return tuple(name for name, count in types for _ in range(count))


def innovations(u: Floats, lags: Lags, phi: Floats) -> Floats:
    """Compute ũ ``(N, E)``, zero in first periods.

    Parameters
    ----------
    u
        ``(N, E)`` errors of all equations.
    lags
        Which row each follows.
    phi
        ``(E, E)``.

    Examples
    --------
    >>> u = np.array([[1.0], [3.0], [2.0]])
    >>> innovations(u, Lags(np.array([0, 0, 1])), np.array([[0.5]])).ravel().tolist()
    [0.0, 2.5, 0.5]
    """
    found = u - u[lags.rows] @ phi.T
    found[~lags.once] = 0.0
    return np.asarray(found)


def errors_by_type(u: Floats, lags: Lags, phi: Floats) -> dict[MomentType, Floats]:
    """Compute what moments of each type are of, ``(N, E)`` each.

    Parameters
    ----------
    u, lags, phi
        As :func:`innovations` takes them.
    """
    new = innovations(u, lags, phi)
    differenced = np.where(lags.twice[:, None], new - new[lags.rows], 0.0)
    return {
        "levels": u,
        "innovations": new,
        "differenced_innovations": differenced,
    }


def carry_back(v: Floats, lags: Lags) -> Floats:
    """Give every row what stands where it is the lag: L'v, ``(N, M)``.

    Parameters
    ----------
    v
        ``(N, M)``, of which first periods do not count.
    lags
        Which row each follows.
    """
    found = np.zeros_like(v)
    later = np.flatnonzero(lags.once)
    found[lags.rows[later]] = v[later]
    return found
