"""Frozen records of arrays that travel between floors.

Axis order, fixed package-wide: agents first, products last, so that an inner loop
runs over the products of a market in contiguous memory. The letters are those of
:mod:`blpdask.notation`: T markets, N products (rows of all markets of a block), A
agents (rows of all markets of a block), K2 random coefficients, L = K2 + D columns
of draws, MD instruments, P free parameters of Sigma and Pi.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Mark a field ``dataclasses.field(metadata=JOINED)`` whose arrays are joined in block
#: order where records are added; all other fields are summed.
JOINED = {"combine": "join"}

#: Mark a field ``dataclasses.field(metadata=APART)`` that is no part of a record's
#: digest, because another field says what matters of it.
APART = {"digest": "apart"}


@dataclass(frozen=True, slots=True, eq=False)
class Equation:
    """Rows of one structural equation y = X b + fixed effects + u with E[Z'u] = 0.

    On the demand side y is δ, X is X1, b is β and u is ξ; on the supply side y is c̃, X
    is X3, b is γ and u is ω.

    Attributes
    ----------
    X
        ``(N, K)`` linear characteristics, fixed effects not absorbed.
    Z
        ``(N, M)`` instruments as they enter covariances of moments.
    effects
        For each absorbed effect, ``(N,)`` codes of the group that a row belongs to,
        the same in all blocks.
    """

    X: Floats
    Z: Floats
    effects: tuple[Integers, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LinearRows:
    """What the linear part of a model needs of a block's products, beside the kernels.

    Attributes
    ----------
    rows
        ``(N,)`` places of the block's rows among the rows that the user gave.
    equations
        Demand's, then, where there is a supply side, supply's.
    clusters
        ``(N,)`` codes of clusters, the same in all blocks, ``(N, W)`` where there are W
        ways, or None.
    ZC
        ``(N, MC)`` covariance instruments, by which products of both equations' errors
        are multiplied, or None.
    """

    rows: Integers
    equations: tuple[Equation, ...]
    clusters: Integers | None
    ZC: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class HeldRows:
    """Linear rows in memory: gives them when called."""

    held: LinearRows

    def __call__(self) -> LinearRows:
        """Give the rows."""
        return self.held


@dataclass(frozen=True, slots=True, eq=False)
class SupplyRows:
    """What the supply side needs of a block's products.

    Attributes
    ----------
    prices
        ``(N,)`` p.
    owners
        ``(N,)`` codes, from zero in each market: products with different codes are
        never priced together.
    ownership
        ``(F,)`` H of each market, row-major, market after market (F = Σ J_t²); of size
        zero where it is one for products with the same code.
    X1_by_prices
        ``(Q, N)`` ∂x1/∂p of the columns of X1 that depend on prices.
    X2_by_prices
        ``(R, N)`` ∂x2/∂p of the columns of X2 that do.
    X2_priced
        ``(R,)`` places of the latter in X2.
    ZS
        ``(N, MS)`` supply-side instruments, fixed effects absorbed.
    """

    prices: Floats
    owners: Integers
    ownership: Floats
    X1_by_prices: Floats
    X2_by_prices: Floats
    X2_priced: Integers
    ZS: Floats


def _no_terms() -> Integers:
    return np.empty((0, 3), np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceFunctions:
    """Functions f_l(i, j) of a block's agents and of their choices, L of them.

    Surveys weigh and average such functions. Most are products of few factors, of
    agents and of choices, which many functions share:

        f_l(i, j) = h_s(i, j) Π_r a_r(i),   h_s(i, j) = Π_r c_r(j) Π_r v_r(i, j),

    where s is the function's shape and each product has at most three terms. Where
    second choices k were asked for, with the first choice's group gone, shapes also
    have factors Π_r c_r(k) Π_r v_r(i, k) Π_r g_r(j, k) Π_r z_r(i, j, k). The outside
    option comes first among the 1 + J_t choices of a market.

    Attributes
    ----------
    agents
        ``(FA, A)`` factors a.
    choices
        ``(FC, N + T)`` factors c, market after market.
    tables
        ``(FT, V + A)`` factors v that are no products, market after market, agents
        first (V = Σ I_t J_t).
    agent_terms
        ``(L, 3)`` rows of ``agents`` that multiply each function, -1 for none.
    shapes
        ``(L,)`` s.
    choice_terms, table_terms
        ``(S, 3)`` rows of ``choices`` and of ``tables`` that multiply each shape, -1
        for none.
    removals
        ``(S,)`` row of ``groups`` by which first choices are removed, -1 for shapes of
        first choices alone; of size zero where no second choice is asked for, as are
        the arrays that follow.
    groups
        ``(FR, N + T)`` codes of the groups of choices that are removed together, from
        zero in each market.
    second_choice_terms, second_table_terms
        ``(S, 3)`` rows of ``choices`` and of ``tables`` that multiply by k.
    pairs, pair_terms
        ``(FG, Σ (1 + J_t)²)`` factors g, j first, and ``(S, 3)`` their rows.
    triples, triple_terms
        ``(FZ, Σ I_t (1 + J_t)²)`` factors z, agents first, and ``(S, 3)`` their rows.
    """

    agents: Floats
    choices: Floats
    tables: Floats
    agent_terms: Integers
    shapes: Integers
    choice_terms: Integers
    table_terms: Integers
    removals: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    groups: Integers = field(default_factory=lambda: np.empty((0, 0), np.int64))
    second_choice_terms: Integers = field(default_factory=_no_terms)
    second_table_terms: Integers = field(default_factory=_no_terms)
    pairs: Floats = field(default_factory=lambda: np.empty((0, 0)))
    pair_terms: Integers = field(default_factory=_no_terms)
    triples: Floats = field(default_factory=lambda: np.empty((0, 0)))
    triple_terms: Integers = field(default_factory=_no_terms)

    @property
    def size(self) -> int:
        """Count the functions, L."""
        return self.shapes.size


@dataclass(frozen=True, slots=True, eq=False)
class SurveyRows:
    """What surveys ask of a block.

    Attributes
    ----------
    functions
        Those whose expectations and derivatives are wanted: weights times values of
        every part, then weights of every dataset.
    squares
        Weights times products of two parts' values of one dataset, for covariances.
    """

    functions: ChoiceFunctions
    squares: ChoiceFunctions


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class MarketBlock:
    """Whole markets, side by side: all that a kernel needs and that θ does not change.

    Attributes
    ----------
    index
        Place of the block among all blocks, which is the order of summation.
    first_market
        Place of the block's first market among all markets.
    product_offsets
        ``(T + 1,)`` first product row of each market, then N.
    agent_offsets
        ``(T + 1,)`` first agent row of each market, then A.
    X2
        ``(K2, N)`` characteristics with random coefficients, products last.
    log_shares
        ``(N,)`` log of observed market shares.
    logit_delta
        ``(N,)`` log S_j - log S_0, the plain logit's mean utility.
    draws
        ``(A, L)`` integration nodes, then demographics.
    weights
        ``(A,)`` integration weights.
    ZD
        ``(N, MD)`` demand-side instruments, fixed effects absorbed.
    supply
        What the supply side needs, None without one.
    linear
        Gives the block's linear rows when called, from memory or from a store; None in
        blocks that only kernels see.
    nests
        ``(N,)`` codes of nests, the same in all blocks, or None.
    availability
        ``(V,)`` a_ij of each market, agents first, market after market (V = Σ I_t J_t),
        by which e^{u_ij} is multiplied; None where every product is there for all.
    epsilon_scale
        Scale of the extreme-value errors: kernels see utilities divided by it, X2 and
        its slopes as well as those of X1.
    product_draws
        ``(S, V)`` draws that differ over products, laid out as availability is, or
        None; their columns of ``draws`` are zero.
    product_columns
        ``(S,)`` which columns of draws those are.
    surveys
        What surveys ask of the block's agents, or None.
    agent_types
        ``(A,)`` codes of agents' types, the same in all blocks, or None.
    """

    index: int
    first_market: int
    product_offsets: Integers
    agent_offsets: Integers
    X2: Floats
    log_shares: Floats
    logit_delta: Floats
    draws: Floats
    weights: Floats
    ZD: Floats
    supply: SupplyRows | None = None
    linear: Callable[[], LinearRows] | None = None
    nests: Integers | None = None
    availability: Floats | None = None
    epsilon_scale: float = 1.0
    product_draws: Floats | None = None
    product_columns: tuple[int, ...] = ()
    surveys: SurveyRows | None = None
    agent_types: Integers | None = None

    @property
    def n_markets(self) -> int:
        """Count the markets, T."""
        return self.product_offsets.size - 1

    @property
    def n_products(self) -> int:
        """Count the product rows, N."""
        return self.log_shares.size


@dataclass(frozen=True, slots=True)
class Tastes:
    """θ as the kernels read it: how draws load on random coefficients.

    The coefficient of agent i on characteristic k is g_k(Σ_l Γ_kl draws_il), where g_k
    is the identity, exp or the logistic function, and free parameter p is the entry
    (rows[p], columns[p]) of Γ = [Σ | Π]. Free parameters of the nests follow those.

    Attributes
    ----------
    loadings
        ``(K2, L)`` Γ.
    types
        ``(K2,)`` 0 linear, 1 log, 2 logit.
    rows
        ``(P,)`` characteristic k that parameter p belongs to.
    columns
        ``(P,)`` column l of the draws that parameter p multiplies.
    rho
        ``(G,)`` ρ of each nest; of size zero without nests.
    rho_places
        ``(G,)`` place of a nest's ρ among its free parameters, -1 where it is fixed.
    type_shares
        ``(R,)`` λ of agents' types; of size zero where weights are used as they are.
    shares_by_theta
        ``(R, L)`` its derivatives by the L entries in θ, which follow those of ρ there;
        no kernel reads these two (:mod:`blpdask.model.agent_types`).
    """

    loadings: Floats
    types: Integers
    rows: Integers
    columns: Integers
    rho: Floats = field(default_factory=lambda: np.empty(0))
    rho_places: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    type_shares: Floats = field(default_factory=lambda: np.empty(0))
    shares_by_theta: Floats = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def size(self) -> int:
        """Count the free parameters that kernels see, of Γ and of ρ."""
        return self.rows.size + int(self.rho_places.max(initial=-1)) + 1


@dataclass(frozen=True, slots=True)
class InversionStart:
    """Where a block's inversion starts.

    Attributes
    ----------
    delta
        ``(N,)`` starting mean utilities.
    factor
        ``(F,)`` lower Cholesky factors of each market's share Jacobian at a named
        earlier evaluation, triangles row by row, market after market (F = Σ J_t (J_t +
        1) / 2); of size zero where there is none.
    """

    delta: Floats
    factor: Floats


@dataclass(frozen=True, slots=True)
class InversionControls:
    """How a block's inversion iterates and when it stops.

    Attributes
    ----------
    method
        ``"newton"`` (recycled Newton), ``"simple"``, ``"squarem"`` or ``"return"``.
    atol
        Bound on the error of mean utilities, in the sup norm.
    max_evaluations
        Share maps allowed per market.
    derivatives
        Whether ∂δ/∂θ is wanted.
    scheme, step_min, step_max, step_factor
        SQUAREM's step length (1, 2 or 3), its bounds and their growth.
    scratch_bytes
        Bound on the cache of exponentiated utilities of one market (loops) or one
        batch of markets (arrays); what does not fit is computed again.
    """

    method: str = "newton"
    atol: float = 1e-14
    max_evaluations: int = 5000
    derivatives: bool = True
    scheme: int = 3
    step_min: float = 1.0
    step_max: float = 1.0
    step_factor: float = 4.0
    scratch_bytes: int = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Inversion:
    """Mean utilities of a block, their derivatives, and how each market ended.

    Attributes
    ----------
    delta
        ``(N,)`` δ(θ).
    delta_by_theta
        ``(N, P)`` ∂δ/∂θ; ``(N, 0)`` where not asked for.
    factor
        ``(F,)`` lower Cholesky factors of A = ∂s/∂δ at the solution (see
        :class:`InversionStart`); of size zero where derivatives were not asked for.
    status
        ``(T,)`` codes of :class:`blpdask.status.InversionStatus`.
    iterations
        ``(T,)`` steps taken.
    evaluations
        ``(T,)`` share maps computed, in units of one map over all agents.
    """

    delta: Floats
    delta_by_theta: Floats
    factor: Floats
    status: Integers
    iterations: Integers
    evaluations: Integers


@dataclass(frozen=True, slots=True)
class PriceTastes:
    """β as first-order conditions of prices read it.

    Attributes
    ----------
    beta
        ``(Q,)`` coefficients of the columns of X1 that depend on prices.
    free
        ``(B,)`` places among those of the coefficients that are in θ.
    """

    beta: Floats
    free: Integers


@dataclass(frozen=True, slots=True)
class Markups:
    """Markups of a block and their derivatives.

    Attributes
    ----------
    eta
        ``(N,)`` η, prices less marginal costs; NaN where they cannot be solved for.
    eta_by_theta
        ``(N, P + B)`` ∂η/∂θ along δ(θ), for the free parameters of Σ and Π, then those
        of β; ``(N, 0)`` where not asked for.
    """

    eta: Floats
    eta_by_theta: Floats


@dataclass(frozen=True, slots=True, eq=False)
class TrialPrices:
    """What of a block moves with prices, at prices that are tried.

    Utilities are over the scale of the extreme-value errors, as kernels see them.

    Attributes
    ----------
    prices
        ``(N,)`` p.
    delta
        ``(N,)`` δ there.
    alpha
        ``(N,)`` Σ_k β_k ∂x1_k/∂p, the part of ∂u_ij/∂p_j that all agents share.
    X2
        ``(K2, N)`` characteristics with random coefficients.
    X2_by_prices
        ``(R, N)`` ∂x2/∂p of the columns of X2 that depend on prices.
    X2_priced
        ``(R,)`` places of those columns in X2.
    """

    prices: Floats
    delta: Floats
    alpha: Floats
    X2: Floats
    X2_by_prices: Floats
    X2_priced: Integers


@dataclass(frozen=True, slots=True, eq=False)
class PriceConditions:
    """First-order conditions of prices, at prices that are tried.

    Attributes
    ----------
    shares
        ``(N,)`` s.
    Lambda
        ``(N,)`` H_jj Λ_j, by which p - c - ζ is the gradient of profits.
    zeta
        ``(N,)`` ζ, the markup that the conditions ask for.
    """

    shares: Floats
    Lambda: Floats
    zeta: Floats


@dataclass(frozen=True, slots=True, eq=False)
class PriceSearch:
    """Prices that a kernel found, and how each market ended.

    Attributes
    ----------
    prices
        ``(N,)``.
    conditions
        First-order conditions there.
    done, broken
        ``(T,)`` whether gradients of profits reached the tolerance, and whether prices,
        or what follows from them, are not finite.
    iterations, evaluations
        ``(T,)``.
    """

    prices: Floats
    conditions: PriceConditions
    done: NDArray[np.bool_]
    broken: NDArray[np.bool_]
    iterations: Integers
    evaluations: Integers
