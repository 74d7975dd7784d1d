"""An economy after a change of products or of what agents pay, of which all is asked.

Prices are those of a new equilibrium at known marginal costs, or are kept as they were;
shares are the model's at those prices. Since a changed economy answers the questions of
results, it can be changed again.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..analysis.choices import shares_at
from ..analysis.economy import Economy
from ..analysis.firm_conditions import equilibrium
from ..analysis.transfers import transfer_costs
from ..analysis.welfare import consumer_surpluses, uneven_markets
from ..errors import NumericalWarning
from ..problem.entrants import Levels
from ..problem.transfers import Transfer
from ..records import Floats, InversionControls
from ..results.changed_table import EconomyChange, MarketAverages
from .bootstrap import at_equilibrium
from .economy_methods import EconomyMethods
from .economy_questions import Question
from .estimated_economy import EstimatedEconomy
from .simulation_checks import price_failures


@dataclass(frozen=True, slots=True, eq=False)
class Settling:
    """How a changed economy comes to rest.

    Attributes
    ----------
    what
        Was asked for, for messages.
    equilibrium
        Whether prices move to a new equilibrium.
    controls
        How they iterate.
    engine, backend
        Where, and by which kernels.
    """

    what: str
    equilibrium: bool
    controls: InversionControls
    engine: Any
    backend: str

    def ask(self, economy: EstimatedEconomy) -> Question:
        """Begin a question about an economy."""
        return Question(economy, self.what, None, self.engine, None, self.backend)


class ChangedEconomy(EconomyMethods):
    """An economy with other products, or whose agents are paid for what they choose.

    Methods are those of :class:`blpdask.ProblemResults` for questions about demand and
    firms. Where they speak of the data, prices, shares and costs here are meant.

    Attributes
    ----------
    prices, shares, delta
        ``(N, 1)`` prices, and shares and mean utilities at these. Products that stayed
        keep their order, and entrants follow.
    costs
        ``(N, 1)`` marginal costs, NaN where nothing says them; None where nothing says
        any.
    market_ids, firm_ids, product_ids
        ``(N,)``, or ``(N, …)`` where product_ids have columns; None where the problem
        has none.
    transfer_costs
        ``(T, 1)`` what transfers cost per consumer, markets in sorted order.
    """

    def __init__(
        self,
        origin: EconomyMethods,
        economy: EstimatedEconomy,
        levels: Levels,
        transfers: tuple[Transfer, ...],
        spending: Floats,
    ) -> None:
        """Keep an economy that has come to rest; rows in the user's order."""
        products = economy.demand.products
        self.levels, self.transfers = levels, transfers
        self._origin, self._economy = origin, economy
        self.prices = np.array(products.ids["prices"], np.float64)
        self.shares = products.shares[:, None]
        self.delta = economy.delta[:, None]
        self.costs = None if economy.costs is None else economy.costs[:, None]
        self.market_ids = products.unique_market_ids[products.market_codes]
        self.firm_ids = products.ids.get("firm_ids")
        product_ids = products.ids.get("product_ids")
        if product_ids is not None and product_ids.shape[1] == 1:
            product_ids = product_ids[:, 0]
        self.product_ids = product_ids
        self.transfer_costs = spending[:, None]

    def estimated_economy(self, what: str) -> EstimatedEconomy:
        """Give the economy at its parameters.

        Parameters
        ----------
        what
            Is asked for, for messages.
        """
        del what
        return self._economy

    @cached_property
    def change(self) -> EconomyChange:
        """Averages of the economy that was changed, and of this one."""
        return EconomyChange(_averages(self._origin), _averages(self))

    def __str__(self) -> str:
        """Print averages before and after."""
        return str(self.change)

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def _repr_html_(self) -> str:
        """Print as a table in notebooks."""
        return self.change.to_html()


def settle(
    origin: EconomyMethods,
    economy: EstimatedEconomy,
    settling: Settling,
    levels: Levels,
    transfers: tuple[Transfer, ...],
) -> ChangedEconomy:
    """Let prices and shares of an economy come to rest.

    Parameters
    ----------
    origin
        What was changed.
    economy
        The change, at prices where iteration starts, with δ at these.
    settling
        How.
    levels
        Categories that entrants of later changes may have.
    transfers
        All that are part of utilities.
    """
    question = settling.ask(economy)
    owners = question.owners(None, None) if settling.equilibrium else None
    at = question.economy()
    if owners is None:
        prices, delta = at.prices, economy.delta
        shares = at.in_user_order(shares_at(at, at.at("prices")))
    else:
        costs = question.known_costs()
        assert costs is not None
        start = at.values_of("prices")
        found = equilibrium(at, owners, costs, start, settling.controls)
        ids = economy.demand.products.unique_market_ids
        failures = "; ".join(price_failures(found, ids))
        if failures and settling.controls.method != "return":
            message = f"{settling.what}: {failures}"
            warnings.warn(message, NumericalWarning, stacklevel=4)
        prices = at.in_user_order(found.prices)
        shares, delta = at.in_user_order(found.shares), at.in_user_order(found.delta)
    rested = at_equilibrium(economy, prices, shares, delta)
    spending = np.zeros(rested.demand.n_markets)
    if transfers:
        spending = transfer_costs(settling.ask(rested).economy(), transfers)
    return ChangedEconomy(origin, rested, levels, transfers, spending)


def _averages(results: EconomyMethods) -> MarketAverages:
    """Average an economy's prices, outside shares and surpluses."""
    asked = results.estimated_economy("averages")
    products = asked.demand.products
    economy = Question(asked, "averages").economy()
    prices, shares = economy.prices, products.shares
    sold = np.bincount(products.market_codes, weights=shares)
    spending = getattr(results, "transfer_costs", np.zeros(1))
    return MarketAverages(
        products=products.n_products,
        markets=sold.size,
        price=float(shares @ prices / shares.sum()),
        outside_share=float(1 - sold.mean()),
        surplus=_mean_surplus(economy),
        transfers=float(spending.mean()),
    )


def _mean_surplus(economy: Economy) -> float:
    """Average markets' consumer surpluses; NaN where prices do not measure them."""
    trial = economy.at("prices")
    if uneven_markets(economy, trial).size:
        return float("nan")
    return float(consumer_surpluses(economy, trial, None).of_markets.mean())
