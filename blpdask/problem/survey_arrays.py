"""Evaluate the functions of surveys once, market by market, and check what they give.

Weights W_dij are ``(I, J)``, zero for the outside option, or ``(I, 1 + J)``, that
option first; where second choices k were asked for, W_dijk have one more axis, of one
of those lengths. Values v_pij have the shape of their dataset's weights. Functions see
a market's tables and nothing of θ, so that what they give never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Fault, Faults
from ..records import Floats
from .survey_collinearity import ValueFactors
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
    removal
        Column of product_ids whose groups are gone where second choices are asked for;
        None where it is the first choice alone.
    """

    label: str
    weights: MarketFunction
    market_ids: frozenset[Any] | None
    removal: int | None = None

    def is_in(self, market_id: Any) -> bool:
        """Tell whether the survey was in a market."""
        return self.market_ids is None or market_id in self.market_ids


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
        return self.merged(Spread(float(values.min()), float(values.max())))

    def merged(self, other: Spread) -> Spread:
        """Add the values of another."""
        return Spread(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, slots=True)
class SurveyLimits:
    """How much is evaluated and kept at once.

    Attributes
    ----------
    chunks
        Into how many parts the agents of a market are cut for functions: one number, or
        numbers by market, one elsewhere.
    whole_bytes
        Bound on functions of agents and of both choices that are no products.
    factored
        Whether values are factored, so that collinear ones can be told of.
    """

    chunks: int | Mapping[Any, int] = 1
    whole_bytes: float = 2**30
    factored: bool = False

    def chunks_of(self, market_id: Any) -> int:
        """Say into how many parts a market's agents are cut."""
        if isinstance(self.chunks, Mapping):
            return self.chunks.get(market_id, 1)
        return self.chunks


class Evaluator:
    """Calls functions, and stops calling those that were found at fault."""

    def __init__(self, faults: Faults, limits: SurveyLimits | None = None) -> None:
        """Collect faults, within limits."""
        self.faults = faults
        self.limits = SurveyLimits() if limits is None else limits
        self._whole_bytes = 0
        self.cause: Exception | None = None
        self.factors = ValueFactors() if self.limits.factored else None
        self.failed: dict[str, list[Fault]] = {}
        self._shapes: dict[tuple[str, Any], tuple[int, ...]] = {}

    def has_failed(self, label: str) -> bool:
        """Tell whether a function was found at fault."""
        return label in self.failed

    def weights(self, dataset: SurveyDataset, market: SurveyedMarket) -> Floats | None:
        """Evaluate W in a market; None where the survey is not, or at a fault."""
        if not dataset.is_in(market.market_id) or self.has_failed(dataset.label):
            return None
        given = self._call(dataset.weights, dataset.label, "weights", market)
        if given is None or not self._has_shape(given, dataset.label, market):
            return None
        for wrong, found in (
            (~np.isfinite(given), "not finite"),
            (given < 0, "negative"),
        ):
            if wrong.any():
                self.fail(
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
            if part.values.of_second and weights.ndim == 2:
                self.fail(
                    part.label,
                    f"second(...) in {part.label}, whose dataset has first choices",
                    "weights of second choices",
                    "give the dataset a formula with second(...), say 'inside * "
                    "second(inside)', or leave it out",
                )
                return None
            values, spread = _of_formula(part.values, weights, market, spread)
        else:
            called = self._call(part.values, part.label, "values", market)
            if called is None or not self._is_like(called, weights, part.label, market):
                return None
            values, spread = called, spread.joined(called[weights > 0])
        if not self._is_finite(values, weights, part.label, market):
            return None
        if self.factors is not None:
            self.factors.add(part.label, values[weights > 0])
        return np.where(np.isfinite(values), values, 0.0), spread

    def orders(self, label: str) -> int:
        """Count the choices that weights are functions of; zero before there are."""
        return len(self._shapes.get((label, None), ()))

    def _call(
        self, function: MarketFunction, label: str, what: str, market: SurveyedMarket
    ) -> Floats | None:
        """Call a function; None and a fault where it fails or gives no numbers."""
        if isinstance(function, ChoiceExpression):
            return function.evaluate(market, second=function.of_second)[0]
        try:
            found = function(market.market_id, market.products, market.agents)
            return np.array(found, dtype=np.float64)
        except Exception as error:
            self.cause = self.cause or error
            self.fail(
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
        first = [(J,), (1 + J,)]
        second = [(a, b) for a in (J, 1 + J) for b in (J, 1 + J)]
        if given.shape[:1] != (n,) or given.shape[1:] not in first + second:
            self.fail(
                label,
                f"weights of {label} of shape {given.shape} in market "
                f"{market.market_id}",
                f"({n}, {J}), agents by products, or ({n}, {1 + J}), the outside "
                "option first; with another such axis for second choices",
                "return an array of one of those shapes from compute_weights",
            )
            return False
        own = self._shapes.setdefault((label, market.market_id), given.shape[1:])
        order = len(self._shapes.setdefault((label, None), given.shape[1:]))
        if order == given.ndim - 1 and own == given.shape[1:]:
            return True
        before = ("first choices", "first and second choices")[order - 1]
        self.fail(
            label,
            f"weights of {label} of shape {given.shape} in market {market.market_id}, "
            f"after others of {before}, there (agents, {', '.join(map(str, own))})",
            "second choices in all markets of a dataset or in none, and one shape for "
            "all agents of a market",
            "make two datasets, or correct compute_weights",
        )
        return False

    def _is_like(
        self, values: Floats, weights: Floats, label: str, market: SurveyedMarket
    ) -> bool:
        """Check that values have the shape of weights."""
        if values.shape != weights.shape:
            self.fail(
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
            self.fail(
                label,
                f"{wrong.sum()} values of {label} in market {market.market_id} that "
                "are not finite",
                "finite numbers wherever weights are positive",
                "correct compute_values; a formula's log of a product's column is not "
                "finite for the outside option unless it is given 'inside'",
            )
        return not wrong.any()

    def keep_whole(self, label: str, size: int) -> None:
        """Count the bytes of an array that is no product; a fault beyond the bound."""
        self._whole_bytes += size
        if self._whole_bytes > self.limits.whole_bytes:
            self.fail(
                label,
                f"{label}, a function of agents and of first and second choices that "
                f"is no product of functions of fewer of the three, with which such "
                f"functions need {self._whole_bytes / 2**20:.1f} MiB",
                f"at most options.micro_bytes, {self.limits.whole_bytes / 2**20:.1f} "
                "MiB",
                "write it as a product of functions of agents and of choices, use "
                "fewer agents, or raise options.micro_bytes if there is the memory",
            )

    def fail(self, label: str, found: str, expected: str, remedy: str) -> None:
        """Add a fault, and call the function no more."""
        self.failed.setdefault(label, []).append(Fault(found, expected, remedy))
        self.faults.add(found, expected, remedy)


def _of_formula(
    formula: ChoiceExpression, weights: Floats, market: SurveyedMarket, spread: Spread
) -> tuple[Floats, Spread]:
    """Evaluate a formula in the shape of weights, zero where its condition is."""
    asked: Any = tuple(slice(-size, None) for size in weights.shape)
    product, given = formula.evaluate(market, second=weights.ndim == 3)
    product = product[asked]
    if given is None:
        return product, spread.joined(product[weights > 0])
    given = given[asked]
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
