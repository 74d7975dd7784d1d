"""What a survey's rows say: observed parts of micro moments, and how sure they are.

Observation n of dataset d has values v_pn = v_p(i_n, j_n) of each of its parts, whose
means are what moments are functions of, with the covariance of means,

    v̄_p = Σ_n v_pn / N_d,
    Cov(v̄_p, v̄_q) = Σ_n (v_pn - v̄_p)(v_qn - v̄_q) / (N_d (N_d - 1)),

and by the delta method, with G = ∂f/∂v at v̄, f̄ = f(v̄) has G Cov(v̄) G'. Rows come some
at a time: counts, means and scatters of two lots add up to those of both (Chan, Golub
and LeVeque 1983).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import Faults, InputError
from ..problem.observed_choices import ObservedChoices
from ..problem.survey_arrays import Evaluator, Spread, SurveyDataset, SurveyPart
from ..problem.survey_cells import cell_weights
from ..problem.survey_market import SurveyedMarket
from ..problem.surveys import Markets
from ..records import Floats, Integers
from .micro_scores import ObservedTables
from .surveyed_markets import check_choices

#: Numbers of cells of observations that are evaluated at once.
_MOST = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class SampleSums:
    """Means of observations and how they scatter.

    Attributes
    ----------
    n
        How many there are.
    means
        ``(PM,)`` v̄.
    scatter
        ``(PM, PM)`` Σ (v - v̄)(v - v̄)'.
    """

    n: int
    means: Floats
    scatter: Floats

    def joined(self, other: SampleSums) -> SampleSums:
        """Add observations."""
        n = self.n + other.n
        apart = other.means - self.means
        return SampleSums(
            n,
            self.means + apart * (other.n / n),
            self.scatter
            + other.scatter
            + np.outer(apart, apart) * (self.n * other.n / n),
        )

    @property
    def covariances(self) -> Floats:
        """Covariances of means, ``(PM, PM)``; NaN of one observation."""
        if self.n < 2:
            return np.full_like(self.scatter, np.nan)
        return np.asarray(self.scatter / (self.n * (self.n - 1)))


def no_observations(n_parts: int) -> SampleSums:
    """Give sums of nothing, of parts PM."""
    return SampleSums(0, np.zeros(n_parts), np.zeros((n_parts, n_parts)))


def summarize(
    observed: ObservedChoices,
    dataset: SurveyDataset,
    parts: Sequence[SurveyPart],
    markets: Markets,
    tables: ObservedTables,
) -> SampleSums:
    """Average values of parts over observations.

    Parameters
    ----------
    observed
        The observations, a row each.
    dataset, parts
        The survey, and what is averaged of it.
    markets, tables
        Give tables of markets, and of observations there.

    Raises
    ------
    InputError
        With faults of functions, or where the survey could not have made observations.
    """
    faults = Faults("micro_data")
    evaluator = Evaluator(faults)
    values = np.empty((observed.size, len(parts)))
    for t in np.unique(observed.market_codes).tolist():
        market = markets(t)
        own = np.flatnonzero(observed.market_codes == t)
        width = (1 + market.n_products) ** len(observed.choices)
        for rows in np.array_split(own, 1 + own.size * width // _MOST):
            if rows.size:
                people = tables(market, rows)
                _evaluate(evaluator, people, rows, observed, dataset, parts, values)
    try:
        faults.check()
    except InputError as error:
        raise error from evaluator.cause
    means = values.mean(axis=0)
    apart = values - means
    return SampleSums(observed.size, means, apart.T @ apart)


def _evaluate(
    evaluator: Evaluator,
    people: SurveyedMarket,
    rows: Integers,
    observed: ObservedChoices,
    dataset: SurveyDataset,
    parts: Sequence[SurveyPart],
    values: Floats,
) -> None:
    """Put values of observations of a market into their rows."""
    W = cell_weights(dataset, people)
    if W is None:
        evaluator.faults.add(
            f"{rows.size} observations in market {people.market_id}",
            f"observations in the markets of {dataset.label}",
            "drop those rows, or correct market_ids of the dataset",
        )
        return
    choices = [choice[rows] for choice in observed.choices[: W.ndim - 1]]
    check_choices(W, choices)
    cell = (np.arange(rows.size), *choices)
    never = int((W[cell] == 0).sum())
    if never:
        evaluator.faults.add(
            f"{never} observations in market {people.market_id} of no weight",
            f"choices of agents to which {dataset.label} gives positive weights",
            "correct choice_indices, or compute_weights",
        )
    only = np.zeros_like(W)
    only[cell] = W[cell]
    for p, part in enumerate(parts):
        found = evaluator.values(part, only, people, Spread())
        if found is not None:
            values[rows, p] = found[0][cell]
