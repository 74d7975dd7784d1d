"""How hard does a merger press on prices? Indices of the first order, at the data.

With margins m = p - c, S = ∂s/∂p', and weights on profits H of the owners before and H̃
of those after the merger (one where two products are of one firm), K = H̃ - H tells
whose profits an owner is new to. With efficiencies e, shares of c that are saved,

    upp_j   = Σ_k K_jk D_jk m_k - e_j c_j,   D_jk = -(∂s_k/∂p_j) / (∂s_j/∂p_j),
    guppi_j = Σ_k K_jk D_jk m_k / p_j

(Farrell and Shapiro 2010, B.E. Journal of Theoretical Economics 10; Salop and Moresi
2009). D is of one price; where other prices of the firm follow, what counts is how the
first-order conditions of all of them move, in units of costs. With c̃ = (1 - e) ∘ c,

    h(p) = -(H ∘ S')⁻¹ (s + (H̃ ∘ S')(p - c̃)) = 0

are those after the merger. At observed prices, where s + (H ∘ S') m = 0,

    g = h = -(H ∘ S')⁻¹ (K ∘ S')(p - c̃) - e ∘ c,      dp = -(∂h/∂p')⁻¹ g

are generalised pricing pressure and, by one step of Newton, changes of prices (Jaffe
and Weyl 2013, American Economic Journal: Microeconomics 5). H ∘ S' is block-diagonal,
firm by firm, so that g of firm 1 that buys 2 is -S_11'⁻¹ S_21' m_2; where all firms
have one product and e is zero, it is upp. The second term of

    (H ∘ S') ∂h/∂p' = -∂(s + (H̃ ∘ S')(p - c̃))/∂p' - Σ_k H_jk g_k ∂²s_k/∂p_j∂p_l

is what makes -(∂h/∂p')⁻¹ Jaffe and Weyl's pass-through: that of the owners after the
merger, :func:`.firm_conditions.passthrough`, is at costs that explain today's prices.
With η of either owners at observed prices,

    cmcr_j = (η̃_j - η_j) / c_j

are the savings after which prices stay where they are (Werden 1996, RAND Journal of
Economics 27); where e is cmcr, g is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..records import Floats, Integers, InversionControls
from .economy import Economy, Owners
from .firm_conditions import equilibrium, implied_markups
from .regular_systems import solve_regular
from .stacked_matrices import of_each_size
from .substitution import slopes_of_shares


@dataclass(frozen=True, slots=True, eq=False)
class MergingOwners:
    """Who owns what before and after a merger, firms with codes, whole products."""

    before: Owners
    after: Owners


@dataclass(frozen=True, slots=True, eq=False)
class Pressure:
    """Indices of all products, ``(n,)`` each, NaN in markets without a solution.

    Attributes
    ----------
    costs
        c, as given or implied.
    upp, guppi, gepp, cmcr
        As above.
    price_changes
        dp, of rivals too.
    """

    costs: Floats
    upp: Floats
    guppi: Floats
    gepp: Floats
    cmcr: Floats
    price_changes: Floats


def pricing_pressure(
    economy: Economy, owners: MergingOwners, costs: Floats | None, efficiencies: Floats
) -> Pressure:
    """Compute how hard a merger presses on prices.

    Parameters
    ----------
    economy
        At its parameters.
    owners
        Before and after; no weights on profits.
    costs
        ``(n,)`` c, those that owners before imply where None.
    efficiencies
        ``(n,)`` e.
    """
    prices = economy.values_of("prices")
    before = implied_markups(economy, owners.before)
    after = implied_markups(economy, owners.after)
    c = prices - before if costs is None else costs
    saved = efficiencies * c
    slopes = slopes_of_shares(economy, "prices")
    gained = _diverted(economy, owners, slopes, prices - c)
    gepp = _generalised(economy, owners, slopes, prices - c + saved) - saved
    with np.errstate(divide="ignore", invalid="ignore"):
        return Pressure(
            costs=c,
            upp=gained - saved,
            guppi=gained / prices,
            gepp=gepp,
            cmcr=(after - before) / c,
            price_changes=_newton(economy, owners, slopes, c - saved, gepp),
        )


def _diverted(
    economy: Economy, owners: MergingOwners, slopes: Floats, margins: Floats
) -> Floats:
    """Compute Σ_k K_jk D_jk m_k, ``(n,)``."""
    offsets, found = economy.offsets, np.empty_like(margins)
    for markets, _, S in of_each_size(slopes, offsets):
        rows = offsets[markets][:, None] + np.arange(S.shape[1])
        K = _same(economy, owners.after, rows) - _same(economy, owners.before, rows)
        own = np.diagonal(S, axis1=1, axis2=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            D = -S.swapaxes(1, 2) / own[:, :, None]
        found[rows] = _times(K * D, margins[rows])
    return found


def _generalised(
    economy: Economy, owners: MergingOwners, slopes: Floats, margins: Floats
) -> Floats:
    """Compute -(H ∘ S')⁻¹ (K ∘ S') m, ``(n,)``."""
    offsets, found = economy.offsets, np.empty_like(margins)
    for markets, _, S in of_each_size(slopes, offsets):
        rows = offsets[markets][:, None] + np.arange(S.shape[1])
        H = _same(economy, owners.before, rows)
        K = _same(economy, owners.after, rows) - H
        St = S.swapaxes(1, 2)
        found[rows] = -_solve(H * St, _times(K * St, margins[rows]))
    return found


def _newton(
    economy: Economy,
    owners: MergingOwners,
    slopes: Floats,
    costs: Floats,
    gepp: Floats,
) -> Floats:
    """Compute dp = -(∂h/∂p')⁻¹ g, ``(n,)``, g ``gepp`` and c̃ ``costs``."""
    prices, offsets = economy.values_of("prices"), economy.offsets
    conditions = _slopes_of_conditions(economy, owners.after, costs)
    # Those at margins g are S + H ∘ S', and what g multiplies.
    by_gepp = _slopes_of_conditions(economy, owners.before, prices - gepp)
    found = np.empty_like(gepp)
    for markets, places, S in of_each_size(slopes, offsets):
        rows = offsets[markets][:, None] + np.arange(S.shape[1])
        HSt = _same(economy, owners.before, rows) * S.swapaxes(1, 2)
        moved = conditions[places] + by_gepp[places] - S - HSt
        found[rows] = _solve(moved, _times(HSt, gepp[rows]))
    return found


def _slopes_of_conditions(economy: Economy, owners: Owners, costs: Floats) -> Floats:
    """Differentiate s_j + Σ_k H_jk (p_k - c_k) ∂s_k/∂p_j by prices, ``(F,)``."""
    prices = economy.values_of("prices")
    there = np.where(np.isfinite(costs), costs, prices)
    still = InversionControls(method="return", scratch_bytes=economy.scratch_bytes)
    found = equilibrium(economy, owners, there, prices, still, hessians=True)
    return found.hessians


def _same(economy: Economy, owners: Owners, rows: Integers) -> Floats:
    """Tell which products of markets are of one firm, ``(B, J, J)``."""
    firms = owners.firms[economy.rows][rows]
    return np.asarray(firms[:, :, None] == firms[:, None, :], np.float64)


def _times(matrices: Floats, vectors: Floats) -> Floats:
    """Multiply matrices ``(B, J, J)`` by vectors ``(B, J)``."""
    return np.asarray((matrices @ vectors[..., None])[..., 0])


def _solve(matrices: Floats, vectors: Floats) -> Floats:
    """Solve by matrices ``(B, J, J)`` for vectors ``(B, J)``, NaN where singular."""
    return np.asarray(solve_regular(matrices, vectors[..., None])[0][..., 0])
