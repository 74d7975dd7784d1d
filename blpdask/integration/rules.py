"""Which rule, of what size, from which seed: one record that builds any market's nodes.

Simulation rules (Monte Carlo, Halton, Latin hypercubes, Sobol) give each market draws
of its own; quadrature rules (products and sparse grids) give all markets the same
nodes. A record without a seed is completed by :meth:`Rule.seeded` before anything is
drawn, so that what was drawn can always be written down and drawn again.

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
from .nodes import MarketNodes, Nodes, repeat_rule
from .product import product_rule
from .sobol import sobol
from .sparse_grid import sparse_grid

SIMULATIONS = ("monte_carlo", "halton", "lhs", "mlhs", "sobol")
QUADRATURES = ("product", "nested_product", "grid", "nested_grid")
SPECIFICATIONS = (*SIMULATIONS, *QUADRATURES)


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
    """

    seed: int | None = None
    discard: int = 1000
    scramble: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """How to build nodes and weights in any number of markets.

    Attributes
    ----------
    specification
        One of :data:`SPECIFICATIONS`.
    size
        Draws of each market for a simulation, level of exactness for a quadrature.
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
        """Refuse a specification that no rule has."""
        if self.specification not in SPECIFICATIONS:
            faults = Faults("integration rule")
            faults.add(
                f"specification {self.specification!r}",
                f"one of {', '.join(SPECIFICATIONS)}",
                "choose one of these",
            )
            faults.check()

    @property
    def is_simulation(self) -> bool:
        """Whether markets have draws of their own rather than the same nodes."""
        return self.specification in SIMULATIONS

    def seeded(self) -> Rule:
        """Return the rule with a seed, drawn from the system where there is none."""
        if not self.is_simulation or self.options.seed is not None:
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
        """
        if self.is_simulation:
            return self._simulate(dimensions, n_markets)
        return repeat_rule(self._quadrature(dimensions), n_markets)

    def _simulate(self, dimensions: int, n_markets: int) -> MarketNodes:
        """Draw the nodes of each market."""
        size, options = self.size, self.options
        seed = _fresh_seed() if options.seed is None else options.seed
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
        nested = self.specification.startswith("nested")
        univariate = nested_gauss_hermite if nested else gauss_hermite
        if self.specification.endswith("grid"):
            return sparse_grid(dimensions, self.size, univariate)
        return product_rule(dimensions, univariate(self.size))


def _fresh_seed() -> int:
    """Draw a seed from the system's entropy."""
    (seed,) = np.random.SeedSequence().generate_state(1)
    return int(seed)
