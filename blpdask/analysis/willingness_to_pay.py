"""Ask how much people would pay for one more of an attribute.

    ω_ir = -β_ikr / β_ipr,

the price that leaves i as well off (Train 2009, 6.2), over draws of people with weights
w_i w_ir. Its moments exist only where one over the coefficient of prices has them: not
where that coefficient may be close to zero with a density that is positive there, as a
normal one may (Daly, Hess and Train 2012). Where the coefficient of prices scales all
others, it cancels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..choice_records import ChoiceBlock, MixedCoefficients
from ..records import JOINED, Floats
from .choice_probabilities import At

#: Draws of all people that quantiles are made of, about; moments are made of all.
MOST_DRAWS = 2**21
#: Kinds whose coefficients have a positive density, or mass, at zero.
_OPEN = ("normal", "censored", "truncated", "exponential", "component")


@dataclass(frozen=True, slots=True, eq=False)
class WillingnessQuery:
    """What is asked of all blocks.

    Attributes
    ----------
    at
        Parameters.
    column, price
        Places among the columns of X.
    factor
        Slope of the former by the attribute over that of the latter by prices.
    stride
        Of people whose draws are kept, for quantiles.
    """

    at: At
    column: int
    price: int
    factor: float
    stride: int


@dataclass(frozen=True, slots=True, eq=False)
class WillingnessSums:
    """Willingness to pay of a block's people.

    Attributes
    ----------
    weight, total, squares
        Sums of weights, and of ω and ω² with these weights.
    values, weights
        Of draws that are kept.
    ranges
        ``(1, 2)`` lowest and highest coefficient of prices.
    """

    weight: float
    total: float
    squares: float
    values: Floats = field(metadata=JOINED)
    weights: Floats = field(metadata=JOINED)
    ranges: Floats = field(metadata=JOINED)


def willingness_pass(
    block: ChoiceBlock, query: WillingnessQuery, memory: None
) -> tuple[WillingnessSums, None]:
    """Add up willingness to pay over a block's people and draws."""
    del memory
    drawn = query.at.draws(block)
    price = drawn.beta[:, :, query.price]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = -query.factor * drawn.beta[:, :, query.column] / price
    if len(ratios) == 1 and len(drawn.weights) == 1:  # all people are alike
        weights = block.weights.sum() * drawn.weights
    else:
        weights = block.weights[:, None] * drawn.weights
    ratios = np.broadcast_to(ratios, weights.shape)
    kept = slice(None, None, query.stride)
    with np.errstate(invalid="ignore"):
        return WillingnessSums(
            weight=float(weights.sum()),
            total=float((weights * ratios).sum()),
            squares=float((weights * ratios * ratios).sum()),
            values=ratios[kept].ravel(),
            weights=weights[kept].ravel(),
            ranges=np.array([[price.min(), price.max()]]),
        ), None


def has_moments(coefficients: MixedCoefficients, place: int, ranges: Floats) -> bool:
    """Tell whether one over a coefficient has a mean.

    Parameters
    ----------
    coefficients
        What varies and how.
    place
        Of the column of X.
    ranges
        ``(B, 2)`` lowest and highest coefficients that were drawn.
    """
    if coefficients.kinds[place] in _OPEN:
        return False
    return bool((ranges > 0).all() or (ranges < 0).all())


def weighted_quantiles(values: Floats, weights: Floats, at: Floats) -> Floats:
    """Compute quantiles of values of unequal weights, ``(N,)`` each.

    Each value stands in the middle of its weight, with straight lines between.

    Examples
    --------
    >>> ones = np.ones(4)
    >>> weighted_quantiles(np.array([4.0, 1.0, 3.0, 2.0]), ones, np.array([0.5]))
    array([2.5])
    """
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) - 0.5 * weights[order]
    return np.interp(at, below / weights.sum(), values[order])


def fixed_slopes(
    coefficients: MixedCoefficients, b: Floats, column: int, price: int
) -> tuple[Floats, float]:
    """Differentiate -b_k / b_p of two fixed coefficients, and give it.

    Parameters
    ----------
    coefficients
        What varies and how.
    b
        ``(K,)`` means of the columns of X; where one of the two scales the other, what
        is estimated of the other is a multiple of it.
    column, price
        Places of k and p.

    Returns
    -------
    tuple
        ``(K,)`` derivatives by b, and -b_k / b_p.
    """
    scaling, slopes = coefficients.scaling, np.zeros(b.size)
    above = 1.0 if column == scaling else b[column]
    below = 1.0 if price == scaling else b[price]
    if column != scaling:
        slopes[column] = -1.0 / below
    if price != scaling:
        slopes[price] = above / below**2
    return slopes, float(-above / below)
