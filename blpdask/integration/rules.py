"""Which rule, of what size, from which seed: one record that builds any market's nodes.

Simulation rules (Monte Carlo, Halton, Latin hypercubes, Sobol) give each market draws
of its own; quadrature rules (products and sparse grids) give all markets the same
nodes. ``"laplace"`` serves people alone: it draws from around the modes of their tastes
(:mod:`blpdask.model.laplace_draws`), for which :attr:`Rule.base` gives points. A record
without a seed is completed by :meth:`Rule.seeded` before anything is drawn, so that
what was drawn can always be written down and drawn again.

With ``antithetic``, draw r + R / 2 of R is minus draw r: odd moments are zero.

References
----------
Judd and Skrainka (2011) and Conlon and Gortmaker (2020) for which rule suits which
problem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import Faults
from .gauss_hermite import gauss_hermite
from .halton import halton
from .latin_hypercube import latin_hypercube
from .monte_carlo import monte_carlo
from .nested_gauss_hermite import nested_gauss_hermite
from .nodes import MarketNodes, Nodes, mirror_draws, repeat_rule, stack_draws
from .product import product_rule
from .sobol import sobol
from .sparse_grid import sparse_grid
from .trapezoid import trapezoid

SIMULATIONS = ("monte_carlo", "halton", "lhs", "mlhs", "sobol")
QUADRATURES = ("product", "nested_product", "grid", "nested_grid", "trapezoid")
SPECIFICATIONS = (*SIMULATIONS, *QUADRATURES)
#: What draws from where people's choices say that tastes are.
CENTRED = ("laplace",)


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """What a rule can be told beyond its size.

    Attributes
    ----------
    seed
        Seed of a simulation rule; without one, it is drawn from the system's entropy.
    discard
        Points that ``"halton"`` skips at the start.
    scramble
        Whether ``"halton"`` permutes digits at random.
    antithetic
        Whether the second half of a simulation rule's draws mirrors the first.
    """

    seed: int | None = None
    discard: int = 1000
    scramble: bool = True
    antithetic: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """How to build nodes and weights in any number of markets.

    Attributes
    ----------
    specification
        One of :data:`SPECIFICATIONS`, or of :data:`CENTRED` for people.
    size
        Draws of each market for a simulation, level of exactness for a quadrature,
        nodes of a dimension for ``"trapezoid"``.
    options
        Seed and the options of ``"halton"``.

    Examples
    --------
    >>> rule = Rule("mlhs", 4, RuleOptions(seed=0))
    >>> rule.build(2).nodes.shape
    (4, 2)
    >>> rule.build_markets(2, 3).market_index.tolist()
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    """

    specification: str
    size: int
    options: RuleOptions = RuleOptions()

    def __post_init__(self) -> None:
        """Refuse a specification that no rule has, and halves of odd numbers."""
        faults = Faults("integration rule")
        if self.specification not in (*SPECIFICATIONS, *CENTRED):
            faults.add(
                f"specification {self.specification!r}",
                f"one of {', '.join((*SPECIFICATIONS, *CENTRED))}",
                "choose one of these",
            )
        if self.options.antithetic and self.size % 2:
            faults.add(
                f"{self.size} antithetic draws",
                "an even number: the second half mirrors the first",
                f"draw {self.size + 1}",
            )
        faults.check()

    @property
    def is_simulation(self) -> bool:
        """Whether markets have draws of their own rather than the same nodes."""
        return self.specification in SIMULATIONS

    @property
    def is_centred(self) -> bool:
        """Whether draws come from where people's choices say that tastes are."""
        return self.specification in CENTRED

    @property
    def base(self) -> Rule:
        """The rule of the points that draws around modes are made of, or the rule."""
        return replace(self, specification="sobol") if self.is_centred else self

    def seeded(self) -> Rule:
        """Return the rule with a seed, drawn from the system where there is none."""
        drawn = self.is_simulation or self.is_centred
        if not drawn or self.options.seed is not None:
            return self
        return replace(self, options=replace(self.options, seed=_fresh_seed()))

    def build(self, dimensions: int) -> Nodes:
        """Build the nodes of one market, which are those of the first of many.

        Parameters
        ----------
        dimensions
            Columns of nodes, K.

        Returns
        -------
        Nodes
            ``(I, K)`` nodes and ``(I,)`` weights.
        """
        built = self.build_markets(dimensions, 1)
        return Nodes(nodes=built.nodes, weights=built.weights)

    def build_markets(self, dimensions: int, n_markets: int) -> MarketNodes:
        """Build the nodes of markets, stacked in their order.

        Parameters
        ----------
        dimensions
            Columns of nodes, K.
        n_markets
            Number of markets, T, at least one.

        Returns
        -------
        MarketNodes
            Rows of market 0, then of market 1, and so on.

        Raises
        ------
        InputError
            Of ``"laplace"``, for markets' shares have no modes.
        """
        if self.is_centred:
            refuse_centred(self.specification)
        if self.is_simulation:
            return self._simulate(dimensions, n_markets)
        return repeat_rule(self._quadrature(dimensions), n_markets)

    def _simulate(self, dimensions: int, n_markets: int) -> MarketNodes:
        """Draw the nodes of each market."""
        size, options = self.size, self.options
        seed = _fresh_seed() if options.seed is None else options.seed
        if options.antithetic:
            first = replace(options, seed=seed, antithetic=False)
            half = replace(self, size=size // 2, options=first)
            nodes = half.build_markets(dimensions, n_markets).nodes
            nodes = nodes.reshape(n_markets, size // 2, dimensions)
            return stack_draws(mirror_draws(nodes).reshape(-1, dimensions), n_markets)
        match self.specification:
            case "monte_carlo":
                return monte_carlo(dimensions, size, n_markets=n_markets, seed=seed)
            case "lhs" | "mlhs":
                return latin_hypercube(
                    dimensions,
                    size,
                    n_markets=n_markets,
                    seed=seed,
                    modified=self.specification == "mlhs",
                )
            case "halton":
                return halton(
                    dimensions,
                    size,
                    n_markets=n_markets,
                    seed=seed,
                    discard=options.discard,
                    scramble=options.scramble,
                )
            case _:
                return sobol(dimensions, size, n_markets=n_markets, seed=seed)

    def _quadrature(self, dimensions: int) -> Nodes:
        """Build the nodes that all markets share."""
        if self.specification == "trapezoid":
            return product_rule(dimensions, trapezoid(self.size))
        nested = self.specification.startswith("nested")
        univariate = nested_gauss_hermite if nested else gauss_hermite
        if self.specification.endswith("grid"):
            return sparse_grid(dimensions, self.size, univariate)
        return product_rule(dimensions, univariate(self.size))


def refuse_centred(specification: str) -> None:
    """Refuse draws around modes where nobody's choices are seen."""
    faults = Faults("integration")
    faults.add(
        f"the rule {specification!r}, which draws from around modes of people's tastes",
        "a rule for markets, whose shares have no modes",
        "use 'sobol', 'halton' or 'product' here, and this rule in a ChoiceProblem",
    )
    faults.check()


def _fresh_seed() -> int:
    """Draw a seed from the system's entropy."""
    (seed,) = np.random.SeedSequence().generate_state(1)
    return int(seed)
