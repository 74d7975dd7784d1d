"""Methods of post-estimation that results of problems and of simulations share."""

from __future__ import annotations

from .demand_methods import DemandMethods
from .firm_methods import FirmMethods


class EconomyMethods(DemandMethods, FirmMethods):
    """What demand and firms do at parameters, under PyBLP's names.

    Rows are in the user's order and matrices of markets are stacked, with NaN beyond
    the products, or agents, of a market. Where ``market_id`` is given, arguments and
    answers have the rows of that market alone.
    """
