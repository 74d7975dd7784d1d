"""The truth that simulated markets are drawn from.

The model is that of Berry, Levinsohn and Pakes (1995) with prices from a reduced form
instead of a pricing game, so that no fixed point stands between a truth and its data:

    δ_jt   = [1, p_jt, x_jt] β + ξ_jt,
    p_jt   = π_0 + π_x Σ_k x_jkt + π_z Σ_l z_jlt + ρ ξ_jt + π_u u_jt,
    ξ_jt   = σ_ξ e_jt + σ_m e_t,
    μ_ijt  = x2_jt (Σ ν_it + Π d_it),       ν_it ~ N(0, I),    d_it ~ N(m_t, I),

where e is standard normal, x, z and u are uniform with mean zero and variance one, and
the market means m_t ~ N(0, σ_d² I) of the demographics are what identifies Π from
shares alone. Prices are endogenous by ρ; the cost shifters z are excluded instruments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import Faults
from ..records import Floats


@dataclass(frozen=True, slots=True)
class MarketDesign:
    """The truth that simulated markets are drawn from, and their sizes.

    Attributes
    ----------
    n_markets
        Number of markets, T.
    n_products
        Products per market, J, or a pair (low, high) between whose bounds, included,
        each market's number is drawn uniformly.
    n_agents
        Agents per market whose weighted choices are the shares, I.
    n_firms
        Firms; product j of a market belongs to firm j modulo ``n_firms``.
    beta
        ``(K1,)`` coefficients on 1, prices, x1, x2, ...; their number says how many
        exogenous characteristics there are.
    random_coefficients
        ``(K2,)`` names among "1", "prices", "x1", ...; "1" comes first where it is one.
    sigma
        ``(K2, K2)`` lower-triangular root of the covariances of unobserved tastes.
    pi
        ``(K2, D)`` coefficients on demographics; empty for none.
    demographic_spread
        Standard deviation across markets of the mean of a demographic, σ_d.
    n_cost_shifters
        Number of excluded cost shifters z.
    price_intercept
        Reduced-form price at mean characteristics, π_0.
    price_by_characteristics
        Reduced-form effect of each characteristic, π_x.
    price_by_cost_shifters
        Reduced-form effect of each cost shifter, π_z.
    endogeneity
        Reduced-form effect of ξ on prices, ρ.
    price_noise
        Standard deviation of the reduced form's own noise, π_u.
    xi_scale
        Standard deviation of the product's own part of ξ, σ_ξ.
    market_effect
        Standard deviation of the part of ξ that products of a market share, σ_m.

    Raises
    ------
    blpdask.errors.InputError
        If the attributes contradict one another.

    Examples
    --------
    >>> design = MarketDesign(n_markets=10, n_products=(3, 6))
    >>> design.characteristics
    ('x1', 'x2')
    """

    n_markets: int = 100
    n_products: int | tuple[int, int] = 12
    n_agents: int = 200
    n_firms: int = 4
    beta: Sequence[float] = (4.0, -2.5, 1.0, 0.5)
    random_coefficients: Sequence[str] = ("prices", "x1")
    sigma: Sequence[Sequence[float]] = ((0.8, 0.0), (0.0, 1.0))
    pi: Sequence[Sequence[float]] = ((0.3,), (0.5,))
    demographic_spread: float = 1.0
    n_cost_shifters: int = 2
    price_intercept: float = 4.0
    price_by_characteristics: float = 0.2
    price_by_cost_shifters: float = 0.6
    endogeneity: float = 0.5
    price_noise: float = 0.2
    xi_scale: float = 0.5
    market_effect: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a design that contradicts itself, with every reason."""
        faults = Faults("MarketDesign")
        _check_sizes(self, faults)
        _check_tastes(self, faults)
        _check_scales(self, faults)
        faults.check()

    @property
    def product_bounds(self) -> tuple[int, int]:
        """Give the least and the greatest number of products of a market."""
        if isinstance(self.n_products, int):
            return self.n_products, self.n_products
        low, high = self.n_products
        return low, high

    @property
    def characteristics(self) -> tuple[str, ...]:
        """Name the exogenous characteristics, x1, x2, ..."""
        return tuple(f"x{k}" for k in range(1, len(self.beta) - 1))

    @property
    def linear(self) -> tuple[str, ...]:
        """Name the K1 columns of X1 in the order of ``beta``."""
        return "1", "prices", *self.characteristics

    @property
    def demographics(self) -> tuple[str, ...]:
        """Name the D demographics, demographic1, demographic2, ..."""
        width = len(self.pi[0]) if len(self.pi) else 0
        return tuple(f"demographic{d}" for d in range(1, width + 1))

    @property
    def cost_shifters(self) -> tuple[str, ...]:
        """Name the excluded cost shifters, z1, z2, ..."""
        return tuple(f"z{m}" for m in range(1, self.n_cost_shifters + 1))

    @property
    def sigma_matrix(self) -> Floats:
        """Give ``sigma`` as a ``(K2, K2)`` array."""
        K2 = len(self.random_coefficients)
        return np.array(self.sigma, dtype=np.float64).reshape(K2, K2)

    @property
    def pi_matrix(self) -> Floats:
        """Give ``pi`` as a ``(K2, D)`` array, with no columns where it is empty."""
        shape = len(self.random_coefficients), len(self.demographics)
        return np.array(self.pi, dtype=np.float64).reshape(shape)


def _check_sizes(design: MarketDesign, faults: Faults) -> None:
    """Every count is a whole number that leaves something to simulate."""
    counts = {
        "n_markets": (design.n_markets, 1),
        "n_agents": (design.n_agents, 1),
        "n_firms": (design.n_firms, 1),
        "n_cost_shifters": (design.n_cost_shifters, 0),
    }
    for name, (count, least) in counts.items():
        if not isinstance(count, int) or count < least:
            faults.add(
                f"{name} = {count!r}",
                f"a whole number of at least {least}",
                f"change {name}",
            )
    given = design.n_products
    bounds = (given, given) if isinstance(given, int) else tuple(given)
    whole = len(bounds) == 2 and all(isinstance(bound, int) for bound in bounds)
    if not whole or not 1 <= bounds[0] <= bounds[1]:
        faults.add(
            f"n_products = {given!r}",
            "a whole number of at least 1, or a pair (low, high) of them",
            "change n_products",
        )
    if len(design.beta) < 2:
        faults.add(
            f"{len(design.beta)} coefficients in beta",
            "at least two, on the constant and on prices",
            "give beta in the order 1, prices, x1, x2, ...",
        )


def _check_tastes(design: MarketDesign, faults: Faults) -> None:
    """Random coefficients have names of X1 and matrices of matching shapes."""
    names = tuple(design.random_coefficients)
    K2 = len(names)
    unknown = [name for name in names if name not in design.linear]
    misplaced = "1" in names[1:]
    if K2 == 0 or unknown or len(set(names)) < K2 or misplaced:
        faults.add(
            f"random_coefficients = {names!r}",
            f"different names among {design.linear!r}, '1' first where it is one",
            "change random_coefficients, or lengthen beta to have more x",
        )
    if len(design.sigma) != K2 or any(len(row) != K2 for row in design.sigma):
        faults.add(
            f"sigma with rows of lengths {[len(row) for row in design.sigma]}",
            f"a {K2} x {K2} matrix, one row per random coefficient",
            "change sigma or random_coefficients",
        )
    elif np.triu(design.sigma_matrix, 1).any():
        faults.add(
            "a sigma with non-zero entries above its diagonal",
            "a lower-triangular root of the covariances of tastes",
            "take the lower Cholesky root of the covariances",
        )
    widths = {len(row) for row in design.pi}
    if len(design.pi) and (len(design.pi) != K2 or len(widths) != 1):
        faults.add(
            f"pi with rows of lengths {[len(row) for row in design.pi]}",
            f"{K2} rows of equal length, one per random coefficient, or none",
            "change pi or random_coefficients",
        )


def _check_scales(design: MarketDesign, faults: Faults) -> None:
    """Every number is finite and no standard deviation is negative."""
    scales = {
        "demographic_spread": design.demographic_spread,
        "price_noise": design.price_noise,
        "xi_scale": design.xi_scale,
        "market_effect": design.market_effect,
    }
    for name, scale in scales.items():
        if not 0 <= scale < np.inf:
            faults.add(
                f"{name} = {scale!r}",
                "a finite standard deviation of at least 0",
                f"change {name}",
            )
    numbers = {
        "beta": list(design.beta),
        "sigma": [entry for row in design.sigma for entry in row],
        "pi": [entry for row in design.pi for entry in row],
        "price_intercept": [design.price_intercept],
        "price_by_characteristics": [design.price_by_characteristics],
        "price_by_cost_shifters": [design.price_by_cost_shifters],
        "endogeneity": [design.endogeneity],
    }
    for name, entries in numbers.items():
        if not np.isfinite(np.array(entries, dtype=np.float64)).all():
            faults.add(f"{name} with entries not finite", "numbers", f"change {name}")
