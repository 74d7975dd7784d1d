"""Where a search for a mixed logit begins: at the conditional logit, almost.

Means b start where h(b) is the logit's coefficient β⁰,

    b = β⁰,   log |β⁰|  (lognormal),   log(β⁰ / (1 - β⁰)), β⁰ within (0.05, 0.95)
    (johnson),

and the diagonal of L at 0.3 / (h'(b) sd(x_k)), with x_k less averages of situations, so
that it moves utilities as much whatever the units of x_k. Of lognormal and Johnson
coefficients it is at most one. At zero a likelihood is flat in spreads; close to it, a
first step may cross zero and lead to a maximum at which a spread is negative, which is
one for mirrored draws and a little higher or lower.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..choice_records import MixedCoefficients
from ..errors import DataWarning
from ..estimators.likelihood_model import SimulatedLikelihood
from ..estimators.simulated_likelihood import maximise_likelihood
from ..problem.choice_blocks import cut_people
from ..problem.choice_table import ChoiceTable
from ..records import Floats

if TYPE_CHECKING:
    from .choice_problem import ChoiceProblem

#: Standard deviation that a random coefficient adds to utility at the start.
SPREAD = 0.3
#: A Johnson coefficient starts no closer than this to its bounds, 0 and 1.
_MARGIN = 0.05
#: A lognormal coefficient starts no smaller than this.
_LEAST = 1e-8


def default_start(
    problem: ChoiceProblem, backend: str, shared: Mapping[str, Any]
) -> Floats:
    """Choose starting values, ``(P,)``.

    Parameters
    ----------
    problem
        The problem.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    shared
        Engine, optimiser and listener of the conditional logit.
    """
    K = problem.K
    if not problem.D:
        return np.zeros(K)
    table = problem.table
    plain = MixedCoefficients(problem.coefficients.labels, ("fixed",) * K)
    blocks = cut_people(table, np.empty((problem.I, 1, 0)))
    logit = maximise_likelihood(
        blocks,
        SimulatedLikelihood(plain, backend),
        np.zeros(K),
        se_type="hessian",
        clusters=None,
        **shared,
    )
    return start_at(logit.theta, problem.coefficients, table)


def start_at(
    beta: Floats, coefficients: MixedCoefficients, table: ChoiceTable
) -> Floats:
    """Make starting values of the logit's coefficients ``(K,)``."""
    means = beta.copy()
    scales = SPREAD / table.within().std(axis=0)
    wrong = []
    for k, kind in enumerate(coefficients.kinds):
        if kind == "lognormal":
            size = np.maximum(abs(beta[k]), _LEAST)
            means[k], scales[k] = np.log(size), min(scales[k] / size, 1.0)
        elif kind == "johnson":
            share = np.clip(beta[k], _MARGIN, 1 - _MARGIN)
            means[k] = np.log(share / (1 - share))
            scales[k] = min(scales[k] / (share * (1 - share)), 1.0)
        if kind in ("lognormal", "censored", "johnson") and beta[k] < 0:
            wrong.append(coefficients.labels[k])
    if wrong:
        warnings.warn(
            f"the logit's coefficients of [{', '.join(wrong)}] are negative, which "
            "those of their kinds cannot be; change the signs of these columns, as in "
            "I(-1 * prices)",
            DataWarning,
            stacklevel=4,
        )
    random = coefficients.random
    spreads = [scales[random[d]] if d == c else 0.0 for d, c in coefficients.entries]
    return np.concatenate([means, np.array(spreads)])
