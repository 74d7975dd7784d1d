"""Which truth simulated markets are drawn from, as options of a job.

The options are the attributes of :class:`blpdask.simulation.design.MarketDesign`, whose
docstring has the model; counts lose their ``n_``.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ..errors import Faults, InputError
from ..simulation.design import MarketDesign
from .fields import CountOrRange, Matrix, Number, Options, Text, Whole

_DESIGN = MarketDesign()
_COUNTS = ("markets", "products", "agents", "firms", "cost_shifters")


class SimulatedSource(Options):
    """The truth that simulated markets are drawn from, and their sizes."""

    markets: Whole = Field(default=_DESIGN.n_markets, ge=1)
    """Number of markets, T."""
    products: CountOrRange = _DESIGN.n_products
    """Products per market, or the bounds between which their number is drawn."""
    agents: Whole = Field(default=_DESIGN.n_agents, ge=1)
    """Agents per market."""
    firms: Whole = Field(default=_DESIGN.n_firms, ge=1)
    """Number of firms."""
    beta: tuple[Number, ...] = tuple(_DESIGN.beta)
    """True coefficients on 1, prices, x1, x2, ...; as many x as there are."""
    random_coefficients: tuple[Text, ...] = tuple(_DESIGN.random_coefficients)
    """Which of 1, prices, x1, ... have random coefficients."""
    sigma: Matrix = _DESIGN.sigma
    """True Sigma, lower-triangular."""
    pi: Matrix | None = _DESIGN.pi
    """True Pi, a column per demographic; null for no demographics."""
    demographic_spread: Number = _DESIGN.demographic_spread
    """Standard deviation over markets of a demographic's mean."""
    cost_shifters: Whole = Field(default=_DESIGN.n_cost_shifters, ge=0)
    """Number of excluded cost shifters."""
    price_intercept: Number = _DESIGN.price_intercept
    """Price at mean characteristics."""
    price_by_characteristics: Number = _DESIGN.price_by_characteristics
    """Effect of each characteristic on the price."""
    price_by_cost_shifters: Number = _DESIGN.price_by_cost_shifters
    """Effect of each cost shifter on the price."""
    endogeneity: Number = _DESIGN.endogeneity
    """Effect of unobserved quality on the price."""
    price_noise: Number = _DESIGN.price_noise
    """Standard deviation of the price's own noise."""
    xi_scale: Number = _DESIGN.xi_scale
    """Standard deviation of a product's unobserved quality."""
    market_effect: Number = _DESIGN.market_effect
    """Standard deviation of unobserved quality that a market's products share."""


def market_design(source: SimulatedSource) -> MarketDesign:
    """Turn the options into the design, which checks them against one another.

    Parameters
    ----------
    source
        The options.

    Raises
    ------
    blpdask.errors.InputError
        If they contradict one another.

    Examples
    --------
    >>> market_design(SimulatedSource(markets=7)).n_markets
    7
    """
    given: dict[str, Any] = {
        f"n_{name}" if name in _COUNTS else name: getattr(source, name)
        for name in SimulatedSource.model_fields
    }
    given["pi"] = given["pi"] or ()
    return MarketDesign(**given)


def add_design_faults(source: SimulatedSource, faults: Faults) -> None:
    """Add a fault for everything about a truth that contradicts itself.

    Parameters
    ----------
    source
        The options.
    faults
        What the faults are added to.
    """
    try:
        market_design(source)
    except InputError as error:
        for fault in error.faults:
            found = f"data.simulated: {fault.found}"
            faults.add(found, fault.expected, fault.remedy)
