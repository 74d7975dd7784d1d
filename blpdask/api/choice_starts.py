"""Where a search for a mixed logit begins: at the conditional logit, almost.

Means b start where h(b) is the logit's coefficient β⁰,

    b = β⁰,   log |β⁰|  (lognormal),   log(β⁰ / (1 - β⁰)), β⁰ within (0.05, 0.95)
    (johnson),   |β⁰|  (truncated),

and the diagonal of L at 0.3 / (h'(b) sd(x_k)), with x_k less averages of situations, so
that it moves utilities as much whatever the units of x_k. Of lognormal and Johnson
coefficients it is at most one, of truncated ones at most b; of exponential ones, whose
mean it is, β⁰. Columns of components, which have no mean, are left out of the logit.
At zero a likelihood is flat in spreads; close to it, a first step may cross zero and
lead to a maximum at which a spread is negative, which is one for mirrored draws and a
little higher or lower.

In willingness-to-pay space λ starts from the logit's -β⁰_prices and the others from
β⁰_k / λ, which is the logit; a scale that is no column's starts at τ = 0.3, and what
demographics shift at zero.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..choice_records import CENTRED, MixedCoefficients
from ..errors import DataWarning
from ..estimators.likelihood_model import SimulatedLikelihood
from ..estimators.simulated_likelihood import maximise_likelihood
from ..problem.choice_blocks import make_blocks
from ..problem.choice_table import ChoiceTable
from ..problem.stored_choices import StoredChoiceTable
from ..records import Floats
from .choice_separation import refuse_separating

if TYPE_CHECKING:
    from .choice_problem import ChoiceProblem

#: Standard deviation that a random coefficient adds to utility at the start.
SPREAD = 0.3
#: A Johnson coefficient starts no closer than this to its bounds, 0 and 1.
_MARGIN = 0.05
#: A coefficient that is positive, or a mean of its own, starts no smaller than this.
_LEAST = 1e-8
#: Kinds whose coefficients are never negative.
_POSITIVE = ("lognormal", "censored", "johnson", "truncated")


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
    coefficients = problem.coefficients
    if not problem.D and not coefficients.in_wtp:
        return np.zeros(coefficients.size)
    kinds = coefficients.kinds
    counted = [k for k, kind in enumerate(kinds) if kind != CENTRED[1]]
    beta = np.zeros(problem.K)
    if counted:
        beta[counted] = _logit(problem, counted, backend, shared)
    return start_at(beta, coefficients, problem.table)


def start_at(
    beta: Floats,
    coefficients: MixedCoefficients,
    table: ChoiceTable | StoredChoiceTable,
) -> Floats:
    """Make starting values of the logit's coefficients ``(K,)``."""
    _warn_of_signs(beta, coefficients)
    beta, scales = _in_own_space(beta, coefficients, table)
    pairs = [
        _start_of_kind(kind, value, scale)
        for kind, value, scale in zip(coefficients.kinds, beta, scales, strict=True)
    ]
    if coefficients.random_scale:
        pairs.append((0.0, SPREAD))
    random = coefficients.random
    means = [pairs[k][0] for k in coefficients.free]
    spreads = [pairs[random[d]][1] if d == c else 0.0 for d, c in coefficients.entries]
    return np.array([*means, *np.zeros(len(coefficients.shifted)), *spreads])


def start_sizes(
    theta: Floats,
    coefficients: MixedCoefficients,
    table: ChoiceTable | StoredChoiceTable,
) -> Floats:
    """Give the sizes ``(P,)`` by which further starts differ from one, θ.

    They are |θ_p|, and where that is zero what moves utilities by 0.3.
    """
    scales = np.append(SPREAD / table.deviations, SPREAD)
    shifters = [
        scales[k] / max(float(table.demographics[:, m].std()), _LEAST)
        for k, m in coefficients.shifted
    ]
    entries = [scales[coefficients.random[d]] for d, _ in coefficients.entries]
    natural = np.array([*scales[coefficients.free], *shifters, *entries])
    return np.where(theta == 0.0, natural, np.abs(theta))


def _logit(
    problem: ChoiceProblem,
    counted: list[int],
    backend: str,
    shared: Mapping[str, Any],
) -> Floats:
    """Estimate the conditional logit of some columns' coefficients, others zero."""
    table, stored = problem.table, isinstance(problem.table, StoredChoiceTable)
    if isinstance(table, ChoiceTable):
        table = replace(
            table,
            X=np.ascontiguousarray(table.X[:, counted]),
            columns=tuple(table.columns[k] for k in counted),
            demographics=np.empty((0, 0)),
            demographic_columns=(),
        )
    plain = MixedCoefficients(table.labels, ("fixed",) * len(table.labels))
    logit = maximise_likelihood(
        make_blocks(table, problem.integration_rule, ()),
        SimulatedLikelihood(plain, backend, summed=stored),
        np.zeros(plain.size),
        se_type="hessian",
        clusters=None,
        **shared,
    )
    if isinstance(problem.table, ChoiceTable):
        refuse_separating(logit, problem.table, problem.coefficients)
    return logit.theta[counted] if stored else logit.theta


def _start_of_kind(kind: str, beta: float, scale: float) -> tuple[float, float]:
    """Give b and the entry on the diagonal of L of one coefficient."""
    size = max(abs(beta), _LEAST)
    if kind == "lognormal":
        return np.log(size), min(scale / size, 1.0)
    if kind == "johnson":
        share = np.clip(beta, _MARGIN, 1 - _MARGIN)
        return np.log(share / (1 - share)), min(scale / (share * (1 - share)), 1.0)
    if kind == "truncated":
        return size, min(scale, size)
    if kind == "exponential":
        return 0.0, float(np.copysign(size, beta))
    return beta, scale


def _in_own_space(
    beta: Floats,
    coefficients: MixedCoefficients,
    table: ChoiceTable | StoredChoiceTable,
) -> tuple[Floats, Floats]:
    """Divide by λ what it scales; give coefficients and their spreads, ``(K,)``."""
    scales = SPREAD / table.deviations
    if not coefficients.in_wtp:
        return beta, scales
    at = coefficients.scaling
    size = max(abs(beta[at]), _LEAST)
    scaled = np.arange(beta.size) != at
    fixed = coefficients.kinds[at] == "fixed"
    by = float(np.copysign(size, beta[at])) if fixed else size
    beta, scales = beta.copy(), scales.copy()
    beta[scaled] /= by
    scales[scaled] /= size
    if not fixed:
        beta[at] = size
    return beta, scales


def _warn_of_signs(beta: Floats, coefficients: MixedCoefficients) -> None:
    """Warn of the logit's coefficients that those of their kinds cannot be."""
    negative = [
        coefficients.labels[k]
        for k, kind in enumerate(coefficients.kinds)
        if kind in _POSITIVE and beta[k] < 0 and k != coefficients.scaling
    ]
    if negative:
        warnings.warn(
            f"the logit's coefficients of [{', '.join(negative)}] are negative, which "
            "those of their kinds cannot be; change the signs of these columns, as in "
            "I(-1 * prices)",
            DataWarning,
            stacklevel=5,
        )
    if coefficients.in_wtp and beta[coefficients.scaling] < 0:
        label = coefficients.scale
        warnings.warn(
            f"the logit's coefficient of '{label}' is {beta[coefficients.scaling]:.6g}:"
            " more is chosen where prices are higher, and what is paid for others has "
            "the wrong sign; look whether wtp names a column of prices that is not "
            "negated already",
            DataWarning,
            stacklevel=5,
        )
