"""Markets with known truth, ready to be estimated.

A :class:`MarketDesign` says the truth, a seed the draws; shares are the exact integral
over the agents that are returned, so that an estimate with these agents has sampling
error alone and none of simulation (or some, with ``fresh_agents``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers
from .design import MarketDesign
from .instruments import exogenous_instruments
from .shares import simulated_shares
from .streams import MarketDraws, draw_fresh_agents, draw_markets

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Formulas",
    "MarketDesign",
    "MarketTruth",
    "SimulatedMarkets",
    "simulate_markets",
]

Columns = dict[str, Floats | Integers]


class Formulas(NamedTuple):
    """Formulas of X1, of X2 and of the demographics (None where there are none)."""

    linear: str
    nonlinear: str
    agent: str | None


@dataclass(frozen=True, slots=True)
class MarketTruth:
    """What an estimate is to be compared with.

    Attributes
    ----------
    beta
        ``(K1,)`` coefficients on the columns of the linear formula.
    sigma
        ``(K2, K2)`` Σ, lower-triangular.
    pi
        ``(K2, D)`` Π.
    xi
        ``(N,)`` unobserved quality ξ.
    delta
        ``(N,)`` mean utilities δ.
    """

    beta: Floats
    sigma: Floats
    pi: Floats
    xi: Floats
    delta: Floats


@dataclass(frozen=True, slots=True)
class SimulatedMarkets:
    """Markets of a known truth, as columns of products and of agents.

    Attributes
    ----------
    design
        The design that they were drawn from.
    seed
        The seed that they were drawn with.
    products
        Columns ``(N,)``: market_ids, firm_ids, product_ids, clustering_ids, shares,
        prices, x1, ..., z1, ..., demand_instruments0, ...
    agents
        Columns ``(A,)``: market_ids, weights, nodes0, ..., demographic1, ...
    truth
        Parameters, ξ and δ.
    """

    design: MarketDesign
    seed: int
    products: Columns
    agents: Columns
    truth: MarketTruth

    @property
    def product_data(self) -> pd.DataFrame:
        """Give the products as a new DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.products)

    @property
    def agent_data(self) -> pd.DataFrame:
        """Give the agents as a new DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.agents)

    def formulations(self) -> Formulas:
        """Write the formulas in which the truth's parameters are in their order."""
        names = tuple(self.design.random_coefficients)
        demographics = self.design.demographics
        return Formulas(
            linear=" + ".join(self.design.linear),
            nonlinear=" + ".join(names if names[0] == "1" else ("0", *names)),
            agent=" + ".join(("0", *demographics)) if demographics else None,
        )

    def save_csv(self, directory: str | Path) -> None:
        """Write product_data.csv, agent_data.csv and truth.json to a directory.

        Parameters
        ----------
        directory
            Where to; it is made if it is not there. Numbers are written so that they
            read back as the same bits.
        """
        import json

        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.product_data.to_csv(folder / "product_data.csv", index=False)
        self.agent_data.to_csv(folder / "agent_data.csv", index=False)
        truth = {
            "seed": self.seed,
            "design": asdict(self.design),
            "formulations": self.formulations()._asdict(),
            "beta": self.truth.beta.tolist(),
            "sigma": self.truth.sigma.tolist(),
            "pi": self.truth.pi.tolist(),
        }
        text = json.dumps(truth, indent=2)
        (folder / "truth.json").write_text(text + "\n", encoding="utf-8")


def simulate_markets(
    design: MarketDesign,
    seed: int,
    *,
    markets: range | None = None,
    fresh_agents: int | None = None,
) -> SimulatedMarkets:
    """Draw markets from a design.

    Parameters
    ----------
    design
        The truth and the sizes.
    seed
        Any whole number of at least zero. A market's data depend on the design, the
        seed and the market's number, and neither on ``design.n_markets`` nor on which
        other markets are drawn.
    markets
        Numbers of the markets to draw, for data that are simulated in parts;
        ``range(design.n_markets)`` by default.
    fresh_agents
        Agents per market to return in place of those who made the shares, drawn anew
        from the same distribution; by default those who made the shares.

    Returns
    -------
    SimulatedMarkets
        Products, agents and truth.

    Raises
    ------
    blpdask.errors.InputError
        If the seed or ``fresh_agents`` is none, or if the design gives prices that
        are not positive or shares that are zero or leave nothing outside.

    Examples
    --------
    >>> simulated = simulate_markets(MarketDesign(n_markets=3, n_products=5), seed=0)
    >>> simulated.products["shares"].shape
    (15,)
    >>> simulated.formulations().linear
    '1 + prices + x1 + x2'
    """
    _check_arguments(seed, fresh_agents)
    chosen = range(design.n_markets) if markets is None else markets
    draws = draw_markets(design, seed, chosen)
    xi = _unobserved_quality(design, draws)
    exogenous = _exogenous(design, draws)
    noise = draws.products[:, -1]
    prices = exogenous["prices"] + design.endogeneity * xi + design.price_noise * noise
    priced = {**exogenous, "prices": prices, "1": np.ones_like(prices)}
    delta = _mean_utilities(design, priced, xi)
    X2 = np.stack([priced[name] for name in design.random_coefficients], axis=1)
    agents = _shift_demographics(design, draws.market_wide, draws.agents)
    shares = simulated_shares(draws.offsets, delta, X2, _tastes(design, agents))
    _check_outcomes(draws.offsets, prices, shares)
    if fresh_agents is not None:
        fresh = draw_fresh_agents(design, seed, chosen, fresh_agents)
        agents = _shift_demographics(design, draws.market_wide, fresh)
    return SimulatedMarkets(
        design=design,
        seed=seed,
        products=_product_columns(design, chosen, draws, exogenous, prices, shares),
        agents=_agent_columns(design, chosen, agents),
        truth=MarketTruth(
            beta=np.array(design.beta, dtype=np.float64),
            sigma=design.sigma_matrix,
            pi=design.pi_matrix,
            xi=xi,
            delta=delta,
        ),
    )


def _check_arguments(seed: int, fresh_agents: int | None) -> None:
    """Refuse what is not a seed and what is not a number of agents."""
    faults = Faults("simulate_markets")
    if not isinstance(seed, int) or seed < 0:
        faults.add(
            f"seed = {seed!r}", "a whole number of at least 0", "give such a seed"
        )
    if fresh_agents is not None and fresh_agents < 1:
        faults.add(
            f"fresh_agents = {fresh_agents!r}",
            "a whole number of at least 1, or None for those who made the shares",
            "change fresh_agents",
        )
    faults.check()


def _unobserved_quality(design: MarketDesign, draws: MarketDraws) -> Floats:
    """Add the products' own part of ξ and the part that a market shares."""
    shared = np.repeat(draws.market_wide[:, 0], np.diff(draws.offsets))
    xi: Floats = design.xi_scale * draws.xi + design.market_effect * shared
    return xi


def _exogenous(design: MarketDesign, draws: MarketDraws) -> dict[str, Floats]:
    """Name characteristics, cost shifters and the exogenous part of prices.

    Sums run column by column: a matrix product may round a row differently by how
    many rows there are, and a market's bits must not depend on other markets.
    """
    names = (*design.characteristics, *design.cost_shifters)
    columns = {name: draws.products[:, k].copy() for k, name in enumerate(names)}
    predicted = np.full(draws.xi.size, design.price_intercept)
    for name in design.characteristics:
        predicted += design.price_by_characteristics * columns[name]
    for name in design.cost_shifters:
        predicted += design.price_by_cost_shifters * columns[name]
    return {**columns, "prices": predicted}


def _mean_utilities(
    design: MarketDesign, priced: dict[str, Floats], xi: Floats
) -> Floats:
    """Compute δ = X1 β + ξ."""
    delta = xi.copy()
    for coefficient, name in zip(design.beta, design.linear, strict=True):
        delta += coefficient * priced[name]
    return delta


def _shift_demographics(
    design: MarketDesign, market_wide: Floats, agents: Floats
) -> Floats:
    """Put each market's demographics around the market's means."""
    shifted = agents.copy()
    means = design.demographic_spread * market_wide[:, 1:]
    shifted[:, :, len(design.random_coefficients) :] += means[:, None, :]
    return shifted


def _tastes(design: MarketDesign, agents: Floats) -> Floats:
    """Compute Σν + Πd of every agent, (T, I, K2)."""
    loadings = np.hstack([design.sigma_matrix, design.pi_matrix])
    tastes: Floats = agents @ loadings.T
    return tastes


def _check_outcomes(offsets: Integers, prices: Floats, shares: Floats) -> None:
    """Refuse prices and shares that no market has, rather than clip them."""
    faults = Faults("MarketDesign")
    n_negative = int(np.count_nonzero(prices <= 0))
    if n_negative:
        faults.add(
            f"{n_negative} of {prices.size} prices not positive",
            "a reduced form whose prices are positive",
            "raise price_intercept or lower what moves prices",
        )
    inside = np.add.reduceat(shares, offsets[:-1])
    n_zero = int(np.count_nonzero(shares <= 0))
    n_full = int(np.count_nonzero(inside >= 1))
    if n_zero or n_full:
        faults.add(
            f"{n_zero} shares of zero and {n_full} markets without an outside share",
            "shares above zero that add up to less than one",
            "bring beta, sigma and pi closer to zero",
        )
    faults.check()


def _product_columns(
    design: MarketDesign,
    markets: range,
    draws: MarketDraws,
    exogenous: dict[str, Floats],
    prices: Floats,
    shares: Floats,
) -> Columns:
    """Name the columns of products as the estimators expect them."""
    sizes = np.diff(draws.offsets)
    market_ids = np.repeat(np.array(markets, dtype=np.int64), sizes)
    product_ids = np.arange(shares.size) - np.repeat(draws.offsets[:-1], sizes)
    firm_ids = product_ids % design.n_firms
    columns: Columns = {
        "market_ids": market_ids,
        "firm_ids": firm_ids,
        "product_ids": product_ids,
        "clustering_ids": market_ids.copy(),
        "shares": shares,
        "prices": prices,
    }
    observed = (*design.characteristics, *design.cost_shifters)
    columns.update({name: exogenous[name] for name in observed})
    instruments = [exogenous[name].copy() for name in design.cost_shifters]
    centred = exogenous["prices"] - design.price_intercept
    instruments += exogenous_instruments(
        design,
        draws.offsets,
        firm_ids,
        {**exogenous, "prices": centred},
        design.demographic_spread * draws.market_wide[:, 1:],
    )
    for m, instrument in enumerate(instruments):
        columns[f"demand_instruments{m}"] = instrument
    return columns


def _agent_columns(design: MarketDesign, markets: range, agents: Floats) -> Columns:
    """Name the columns of agents as the estimators expect them."""
    n_markets, n_agents, _ = agents.shape
    market_ids = np.repeat(np.array(markets, dtype=np.int64), n_agents)
    columns: Columns = {
        "market_ids": market_ids,
        "weights": np.full(market_ids.size, 1.0 / n_agents),
    }
    nodes = tuple(f"nodes{k}" for k in range(len(design.random_coefficients)))
    flat = agents.reshape(n_markets * n_agents, -1)
    for k, name in enumerate((*nodes, *design.demographics)):
        columns[name] = flat[:, k].copy()
    return columns
