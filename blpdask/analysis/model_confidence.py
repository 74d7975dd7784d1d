"""Which models are among the best? The model confidence set.

Of a set of models, T_max = max_{l,m} |T_lm| is compared with its distribution where all
fit alike, T_lm = (e_l - e_m)'Z / √((e_l - e_m)'Ω(e_l - e_m)) with Z ~ N(0, Ω) and Ω the
covariance of √N Q̂. The model that fits worst in the pair of the largest |T_lm| leaves
the set with the p-value of T_max, and the rest are compared in the same way. A model's
p-value is the largest of those met until it left, one for the last: models whose
p-values are at least α contain the best with probability 1 - α, in the limit (Hansen,
Lunde and Nason 2011, "The Model Confidence Set", with their T_R; Duarte, Magnolfi,
Sølvsten and Sullivan 2024, "Testing Firm Conduct").

The p-value of two models is the normal's, 2 Φ(-|T|); of more it is the share of R draws
of a fixed seed.
"""

from __future__ import annotations

import numpy as np

from ..records import Floats


def model_confidence_p_values(
    T: Floats, covariances: Floats, *, draws: int, seed: int
) -> Floats:
    """Compute p-values of the model confidence set, ``(m,)``.

    Parameters
    ----------
    T
        ``(m, m)`` statistics, positive where the row's model fits worse.
    covariances
        ``(m, m)`` Ω.
    draws, seed
        R, and the seed of the draws.

    Returns
    -------
    Floats
        NaN of all models where a T is not there, of models that are the same.

    Examples
    --------
    >>> T = np.array([[np.nan, 1.959964], [-1.959964, np.nan]])
    >>> model_confidence_p_values(T, np.eye(2), draws=1, seed=0).round(6)
    array([0.05, 1.  ])
    """
    m = T.shape[0]
    if not np.isfinite(T[~np.eye(m, dtype=np.bool_)]).all():
        return np.full(m, np.nan)
    values, vectors = np.linalg.eigh(covariances)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    drawn = np.random.default_rng(seed).standard_normal((draws, m)) @ root.T
    left, p_values, largest = list(range(m)), np.ones(m), 0.0
    while len(left) > 1:
        own = T[np.ix_(left, left)]
        # T is antisymmetric: its largest entry is in the row of the worse model.
        found, worst = np.nanmax(own), left[int(np.nanargmax(own)) // len(left)]
        largest = max(
            largest, _p_value(float(found), drawn[:, left], covariances, left)
        )
        p_values[worst] = largest
        left.remove(worst)
    return p_values


def _p_value(
    T_max: float, drawn: Floats, covariances: Floats, left: list[int]
) -> float:
    """Compute the probability of a larger T_max among models that fit alike."""
    from scipy.special import ndtr

    if len(left) == 2:
        return float(2 * ndtr(-T_max))
    own = covariances[np.ix_(left, left)].diagonal()
    exceeded = np.zeros(drawn.shape[0], np.bool_)
    for i in range(len(left)):
        for j in range(i):
            variance = own[i] + own[j] - 2 * covariances[left[i], left[j]]
            exceeded |= np.abs(drawn[:, i] - drawn[:, j]) > T_max * np.sqrt(variance)
    return float(exceeded.mean())
