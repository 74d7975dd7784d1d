"""What is known of a demand problem without its rows: counts, columns and names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.parameters import Parameters, lay_out
from .demand_problem import DemandProblem
from .formulas import Column


@dataclass(frozen=True, slots=True, eq=False)
class DemandOutline:
    """Dimensions and names of a demand problem.

    Attributes
    ----------
    market_ids
        ``(T,)`` sorted.
    n_products, n_agents
        N and A.
    types
        ``(K2,)`` names of the types of random coefficients.
    X1_columns, X2_columns, agent_columns
        Columns of X1, X2 and of demographics.
    n_node_columns
        Columns of nodes.
    ZD_names
        ``(MD,)`` names of the instruments.
    n_effects
        Number of absorbed effects.
    has_clusters
        Whether clusters are known.
    X3_columns
        Columns of X3, none without a supply side.
    ZS_names
        ``(MS,)`` names of supply-side instruments.
    n_cost_effects
        Number of effects absorbed on the supply side.
    nesting_ids
        ``(H,)`` sorted names of nests, none without nests.
    type_ids
        ``(R,)`` sorted names of agents' types, none without types.
    has_lags
        Whether rows have lags.
    ZC_names
        ``(MC,)`` names of covariance instruments.
    """

    market_ids: np.ndarray[Any, Any]
    n_products: int
    n_agents: int
    types: tuple[str, ...]
    X1_columns: tuple[Column, ...]
    X2_columns: tuple[Column, ...]
    agent_columns: tuple[Column, ...]
    n_node_columns: int
    ZD_names: tuple[str, ...]
    n_effects: int
    has_clusters: bool
    X3_columns: tuple[Column, ...] = ()
    ZS_names: tuple[str, ...] = ()
    n_cost_effects: int = 0
    nesting_ids: tuple[Any, ...] = ()
    type_ids: tuple[Any, ...] = ()
    has_lags: bool = False
    ZC_names: tuple[str, ...] = ()

    def lay_out(
        self, *, bounded: bool, default_bounds: bool, **values: Any
    ) -> Parameters:
        """Lay θ out with these names and types.

        Parameters
        ----------
        bounded, default_bounds
            As in :func:`blpdask.model.parameters.lay_out`.
        **values
            ``sigma``, ``pi``, ``rho``, ``type_shares``, ``phi``, ``beta``, ``gamma``
            and their ``…_bounds``, None where left out.
        """
        names = ("sigma", "pi", "rho", "type_shares", "phi", "beta", "gamma")
        asked = [*names, *(f"{name}_bounds" for name in names)]
        return lay_out(
            **{name: values.get(name) for name in asked},
            types=self.types,
            n_node_columns=self.n_node_columns,
            sigma_labels=[column.name for column in self.X2_columns],
            pi_labels=[column.name for column in self.agent_columns],
            rho_labels=[str(nest) for nest in self.nesting_ids],
            type_labels=[str(name) for name in self.type_ids],
            beta_labels=[column.name for column in self.X1_columns],
            gamma_labels=[column.name for column in self.X3_columns],
            priced=["prices" in column.names for column in self.X1_columns],
            lagged=self.has_lags,
            bounded=bounded,
            default_bounds=default_bounds,
        )


def outline_of(demand: DemandProblem) -> DemandOutline:
    """Outline a problem in memory."""
    products, agents = demand.products, demand.agents
    supply = products.supply
    return DemandOutline(
        market_ids=products.unique_market_ids,
        n_products=demand.n_products,
        n_agents=int(agents.weights.size),
        types=demand.types,
        X1_columns=products.X1_columns,
        X2_columns=products.X2_columns,
        agent_columns=agents.columns,
        n_node_columns=agents.nodes.shape[1],
        ZD_names=products.ZD_names,
        n_effects=len(products.effects),
        has_clusters=products.clusters is not None,
        X3_columns=() if supply is None else supply.X3_columns,
        ZS_names=() if supply is None else supply.ZS_names,
        n_cost_effects=0 if supply is None else len(supply.effects),
        nesting_ids=tuple(products.nesting_ids.tolist()),
        type_ids=agents.type_ids,
        has_lags=products.lags is not None,
        ZC_names=() if supply is None else supply.ZC_names,
    )
