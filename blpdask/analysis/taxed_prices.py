"""How do firms price under taxes? As untaxed firms with other costs and other weights.

Consumers pay p, and producers get r = (p - t) / (1 + τ), with unit taxes t_j and ad
valorem rates τ_j by product (subsidies are negative). With weights H on profits, the
owner of product j maximises Σ_k H_jk (r_k - c_k) s_k(p). Because r_k - c_k is
(p_k - c̃_k) / (1 + τ_k) at c̃_k = (1 + τ_k) c_k + t_k, that has the derivative by p_j,
times 1 + τ_j,

    s_j + Σ_k H̃_jk (p_k - c̃_k) ∂s_k/∂p_j,   H̃_jk = H_jk (1 + τ_j) / (1 + τ_k),

where H_jj = 1: the condition of :mod:`.firm_conditions` at c̃ and H̃. Weights change
only where rates differ between products that one owner cares for.

References
----------
Anderson, de Palma and Kreider (2001), "Tax Incidence in Differentiated Product
Oligopoly"; Conlon and Rao (2020), "Discrete Prices and the Incidence and Efficiency of
Excise Taxes".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..problem.ownership import stacked_ownership
from ..problem.rival_sums import interact
from ..records import Floats, Integers
from .economy import Economy, Owners
from .stacked_matrices import scale_stacked


@dataclass(frozen=True, slots=True, eq=False)
class TaxRates:
    """Taxes of all products, rows sorted by market.

    Attributes
    ----------
    unit
        ``(N,)`` t.
    ad_valorem
        ``(N,)`` τ, of producer prices.
    """

    unit: Floats
    ad_valorem: Floats

    def producer(self, values: Floats) -> Floats:
        """Take taxes off: r of p, or c of c̃, ``(N,)``."""
        return (values - self.unit) / (1.0 + self.ad_valorem)

    def consumer(self, values: Floats) -> Floats:
        """Put taxes on: p of r, or c̃ of c, ``(N,)``."""
        return (1.0 + self.ad_valorem) * values + self.unit


def taxed_owners(economy: Economy, owners: Owners, rates: TaxRates) -> Owners:
    """Weigh profits as taxed owners do, by H̃.

    Parameters
    ----------
    economy
        All its markets.
    owners
        Who sets prices, with weights H.
    rates
        The taxes.

    Returns
    -------
    Owners
        The same where rates do not differ between products that one owner cares for.
    """
    demand = economy.demand
    markets = demand.products.market_codes
    factors = economy.in_user_order(1.0 + rates.ad_valorem)
    together = (
        markets if owners.ownership is not None else interact(markets, owners.firms)
    )
    if _is_constant(factors, together):
        return owners
    offsets, order = demand.tables.product_offsets, demand.order
    weights = owners.ownership
    if weights is None:
        weights = stacked_ownership(markets, owners.firms)
    scaled = weights[order, : int(np.diff(offsets).max())]
    of_rows = factors[order]
    scale_stacked(scaled, offsets, rows=of_rows, columns=1.0 / of_rows)
    found = np.empty_like(scaled)
    found[order] = scaled
    return Owners(np.zeros(markets.size, np.int64), found)


def _is_constant(values: Floats, groups: Integers) -> bool:
    """Tell whether values ``(N,)`` are the same within every group."""
    _, first, places = np.unique(groups, return_index=True, return_inverse=True)
    return bool((values[first][places] == values).all())
