"""Evaluate the functions of surveys once, market by market, and check what they give.

Weights W_dij are ``(I, J)``, zero for the outside option, or ``(I, 1 + J)``, that
option first; values v_pij have the shape of their dataset's weights. Functions see a
market's tables and nothing of θ, so that what they give never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats
from .survey_expressions import ChoiceExpression
from .survey_market import SurveyedMarket

#: Of t, products and agents.
MarketFunction = Callable[[Any, Any, Any], Any] | ChoiceExpression


@dataclass(frozen=True, slots=True, eq=False)
class SurveyDataset:
    """A survey.

    Attributes
    ----------
    label
        How messages call it.
    weights
        W.
    market_ids
        Where there are any, None for everywhere.
    """

    label: str
    weights: MarketFunction
    market_ids: frozenset[Any] | None


@dataclass(frozen=True, slots=True, eq=False)
class SurveyPart:
    """Values that are averaged.

    Attributes
    ----------
    label
        How messages call it.
    dataset
        Place of its survey.
    values
        v.
    """

    label: str
    dataset: int
    values: MarketFunction


@dataclass(frozen=True, slots=True)
class Spread:
    """Over what a part's values spread where its survey looks.

    Attributes
    ----------
    low, high
        Least and largest, of what a formula multiplies where its condition is not zero;
        without bounds where that is negative somewhere.
    """

    low: float = np.inf
    high: float = -np.inf

    def joined(self, values: Floats) -> Spread:
        """Add values."""
        if not values.size:
            return self
        low, high = float(values.min()), float(values.max())
        return Spread(min(self.low, low), max(self.high, high))


class Evaluator:
    """Calls functions, and stops calling those that were found at fault."""

    def __init__(self, faults: Faults) -> None:
        """Collect faults."""
        self.faults = faults
        self.cause: Exception | None = None
        self._failed: set[str] = set()

    def has_failed(self, label: str) -> bool:
        """Tell whether a function was found at fault."""
        return label in self._failed

    def weights(self, dataset: SurveyDataset, market: SurveyedMarket) -> Floats | None:
        """Evaluate W in a market; None where the survey is not, or at a fault."""
        elsewhere = dataset.market_ids is not None and (
            market.market_id not in dataset.market_ids
        )
        if elsewhere or self.has_failed(dataset.label):
            return None
        given = self._call(dataset.weights, dataset.label, "weights", market)
        if given is None or not self._has_shape(given, dataset.label, market):
            return None
        for wrong, found in (
            (~np.isfinite(given), "not finite"),
            (given < 0, "negative"),
        ):
            if wrong.any():
                self._fail(
                    dataset.label,
                    f"{wrong.sum()} weights of {dataset.label} in market "
                    f"{market.market_id} that are {found}",
                    "numbers from zero",
                    "correct compute_weights",
                )
                return None
        return given

    def values(
        self, part: SurveyPart, weights: Floats, market: SurveyedMarket, spread: Spread
    ) -> tuple[Floats, Spread] | None:
        """Evaluate v in a market, zero where W is and v is not finite.

        Parameters
        ----------
        part, market
            What, and where.
        weights
            W there, whose shape is v's.
        spread
            That of the markets before.
        """
        if self.has_failed(part.label):
            return None
        if isinstance(part.values, ChoiceExpression):
            values, spread = _of_formula(part.values, weights, market, spread)
        else:
            called = self._call(part.values, part.label, "values", market)
            if called is None or not self._is_like(called, weights, part.label, market):
                return None
            values, spread = called, spread.joined(called[weights > 0])
        if not self._is_finite(values, weights, part.label, market):
            return None
        return np.where(np.isfinite(values), values, 0.0), spread

    def _call(
        self, function: MarketFunction, label: str, what: str, market: SurveyedMarket
    ) -> Floats | None:
        """Call a function; None and a fault where it fails or gives no numbers."""
        if isinstance(function, ChoiceExpression):
            return function.evaluate(market)[0]
        try:
            found = function(market.market_id, market.products, market.agents)
            return np.array(found, dtype=np.float64)
        except Exception as error:
            self.cause = self.cause or error
            self._fail(
                label,
                f"{type(error).__name__} in compute_{what} of {label} in market "
                f"{market.market_id}: {error}",
                f"a function of t, products and agents that gives {what}",
                f"correct compute_{what}",
            )
            return None

    def _has_shape(self, given: Floats, label: str, market: SurveyedMarket) -> bool:
        """Check the shape of weights."""
        n, J = market.n_agents, market.n_products
        if given.shape in ((n, J), (n, 1 + J)):
            return True
        if given.shape in [(n, a, b) for a in (J, 1 + J) for b in (J, 1 + J)]:
            self._fail(
                label,
                f"weights of {label} of shape {given.shape}, for second choices",
                f"({n}, {J}) or ({n}, {1 + J}): no second choices in this version",
                "leave that dataset out",
            )
            return False
        self._fail(
            label,
            f"weights of {label} of shape {given.shape} in market {market.market_id}",
            f"({n}, {J}), agents by products, or ({n}, {1 + J}), the outside option "
            "first",
            "return an array of one of those shapes from compute_weights",
        )
        return False

    def _is_like(
        self, values: Floats, weights: Floats, label: str, market: SurveyedMarket
    ) -> bool:
        """Check that values have the shape of weights."""
        if values.shape != weights.shape:
            self._fail(
                label,
                f"values of {label} of shape {values.shape} in market "
                f"{market.market_id}",
                f"{weights.shape}, the shape of its dataset's weights",
                "return an array of that shape from compute_values",
            )
        return values.shape == weights.shape

    def _is_finite(
        self, values: Floats, weights: Floats, label: str, market: SurveyedMarket
    ) -> bool:
        """Check that values are finite where the survey looks."""
        wrong = ~np.isfinite(values) & (weights > 0)
        if wrong.any():
            self._fail(
                label,
                f"{wrong.sum()} values of {label} in market {market.market_id} that "
                "are not finite",
                "finite numbers wherever weights are positive",
                "correct compute_values; a formula's log of a product's column is not "
                "finite for the outside option unless it is given 'inside'",
            )
        return not wrong.any()

    def _fail(self, label: str, found: str, expected: str, remedy: str) -> None:
        """Add a fault, and call the function no more."""
        self._failed.add(label)
        self.faults.add(found, expected, remedy)


def _of_formula(
    formula: ChoiceExpression, weights: Floats, market: SurveyedMarket, spread: Spread
) -> tuple[Floats, Spread]:
    """Evaluate a formula in the shape of weights, zero where its condition is."""
    first = 1 + market.n_products - weights.shape[1]
    product, given = formula.evaluate(market)
    product = product[:, first:]
    if given is None:
        return product, spread.joined(product[weights > 0])
    given = given[:, first:]
    with np.errstate(all="ignore"):
        values = np.where(given == 0, 0.0, product * given)
    if (given < 0).any():
        return values, Spread(-np.inf, np.inf)
    return values, spread.joined(product[(weights > 0) & (given != 0)])


def expressions_of(
    datasets: Sequence[SurveyDataset], parts: Sequence[SurveyPart]
) -> list[tuple[str, ChoiceExpression]]:
    """List the formulas with what they belong to."""
    functions = [
        *[(dataset.label, dataset.weights) for dataset in datasets],
        *[(part.label, part.values) for part in parts],
    ]
    return [(n, f) for n, f in functions if isinstance(f, ChoiceExpression)]
