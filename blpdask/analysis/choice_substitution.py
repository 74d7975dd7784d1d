"""Turn answers of situations, or their sums, into elasticities and diversion ratios.

Of a situation, with v a variable,

    ε_jk = v_k / P_j ∂P_j/∂v_k,
    D_jk = -∂P_k/∂v_j / ∂P_j/∂v_j,      D̄_jk = (P_k(-j) - P_k) / P_j,

and of alternatives a and b over all situations, with weights w_s,

    ε_ab = Σ_s w_s v_sb ∂P_sa/∂v_sb / Σ_s w_s P_sa,
    D_ab = -Σ_s w_s ∂P_sb/∂v_sa / Σ_s w_s ∂P_sa/∂v_sa,
    D̄_ab = Σ_s w_s (P_sb(-a) - P_sb) / Σ_{s, b} of the same,

the second of v_a moved alike in all situations (Conlon and Mortimer 2021). There is no
outside option but what has a row: diversion to all others sums to one, and that to
oneself is zero.
"""

from __future__ import annotations

import numpy as np

from ..kernels.choice_answers import Situations
from ..records import Floats, Integers
from .choice_answers import AlternativeSums, RowAnswers, pair_rows, sum_by_code


def row_elasticities(
    found: RowAnswers, situations: Situations, values: Floats
) -> Floats:
    """Compute ε_jk of all pairs, ``(F,)``, of a variable's values ``(N,)``."""
    left, right = pair_rows(situations)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(found.pairs * values[right] / found.probabilities[left])


def row_diversion(found: RowAnswers, situations: Situations) -> Floats:
    """Compute D_jk of all pairs of slopes, ``(F,)``: what j loses goes to k."""
    left, right = pair_rows(situations)
    back = _transpose(situations)
    own = found.pairs[left == right]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = -found.pairs[back] / own[left]
    return np.where(left == right, 0.0, ratios)


def row_long_run_diversion(found: RowAnswers, situations: Situations) -> Floats:
    """Compute D̄_jk of all pairs of removals, ``(F,)``."""
    left, _ = pair_rows(situations)
    lost = sum_by_code(left, found.pairs, len(situations.X))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(found.pairs / lost[left])


def alternative_elasticities(found: AlternativeSums) -> Floats:
    """Compute ε_ab, ``(A, A)``, of sums that are multiplied by the variable."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(found.pairs / found.probabilities[:, None])


def alternative_diversion(found: AlternativeSums) -> Floats:
    """Compute D_ab of slopes, ``(A, A)``."""
    changes = found.pairs.T.copy()
    own = np.diag(changes).copy()
    np.fill_diagonal(changes, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(changes / -own[:, None])


def alternative_long_run_diversion(found: AlternativeSums) -> Floats:
    """Compute D̄_ab of removals, ``(A, A)``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(found.pairs / found.pairs.sum(axis=1, keepdims=True))


def _transpose(situations: Situations) -> Integers:
    """Give the place of [k, j] for every pair [j, k] of a situation, ``(F,)``."""
    left, right = pair_rows(situations)
    sizes = situations.sizes
    of_rows = np.repeat(sizes, sizes)
    begins = np.cumsum(of_rows) - of_rows
    firsts = np.repeat(situations.situation_offsets[:-1], sizes)
    return np.asarray(begins[right] + left - firsts[left])
