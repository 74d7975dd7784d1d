"""Methods of post-estimation that results of problems and of simulations share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .demand_methods import DemandMethods
from .firm_methods import FirmMethods

if TYPE_CHECKING:
    from ..results.merger_table import MergerEffects
    from .iteration import Iteration


class EconomyMethods(DemandMethods, FirmMethods):
    """What demand and firms do at parameters, under PyBLP's names.

    Rows are in the user's order and matrices of markets are stacked, with NaN beyond
    the products, or agents, of a market. Where ``market_id`` is given, arguments and
    answers have the rows of that market alone.
    """

    def simulate_merger(
        self,
        mergers: Mapping[Any, Any],
        costs: Any = None,
        iteration: Iteration | None = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> MergerEffects:
        """Compute what a merger does to prices, concentration, profits and surplus.

        Parameters
        ----------
        mergers
            Which firms become which, say ``{2: 1}``: firm 2's products become firm 1's.
        costs
            ``(N,)`` marginal costs; what :meth:`compute_costs` gives where None.
        iteration
            How prices iterate, as of :meth:`compute_prices`.
        engine, threads, backend
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        blpdask.results.merger_table.MergerEffects
            Everything before and after; prints averages.

        Raises
        ------
        InputError
            Where firms are not there.
        """
        from .merger import merger_effects

        computing = {"engine": engine, "threads": threads, "backend": backend}
        return merger_effects(self, mergers, costs, iteration, computing)
