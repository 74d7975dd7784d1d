"""What an estimator knows of a problem: sums, counts and where its blocks are.

Nothing here is as long as the data, but for lags of one in memory: a problem of ten
million products that sits in a store is prepared into the same record.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..moments.quasi_differences import QuasiDifferences
from ..partitions.source import BlockSource
from ..records import Floats, Integers
from .absorption_options import AbsorptionControls


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDemand:
    """A demand problem, ready to be placed on an engine.

    Attributes
    ----------
    source
        Loads the :class:`~blpdask.records.MarketBlock` of every block, with its
        linear rows.
    n_products, n_agents
        N and A.
    n_random
        K2, the number of random coefficients.
    market_ids
        ``(T,)`` sorted; markets are in this order through all blocks.
    product_counts
        ``(T,)`` J_t.
    block_edges
        ``(B + 1,)`` first market of each block, then T.
    ZtX
        ``(M, K)`` Z'X, effects absorbed, in long doubles: Z_D'X1 and, with a supply
        side, Z_S'X3 on the diagonal.
    ZtZ
        ``(M, M)`` Z'Z of the instruments as they enter covariances of moments, those
        of both equations side by side, then covariance instruments.
    moment_counts
        Moments of each equation: demand's MD, then supply's MS where there is one.
    X_counts
        Columns of X of each equation: K1, then K3.
    level_counts
        For each equation and absorbed effect, the number of its groups.
    absorption
        For each equation, when the absorption of its effects stops.
    n_clusters
        C, zero where there are none; in several ways that of the way with fewest.
    clusters_of_markets
        Whether there are clusters and each, in one of the ways, is made of whole
        markets.
    rows_at
        Where what is as long as the data is written, block by block; None where it is
        brought together in memory.
    cluster_counts
        Clusters of each way.
    quasi
        Where moments are of innovations, how they are made of the sums of blocks, whose
        instruments are not the moments' own; None where moments are of levels.
    n_covariance
        MC, the number of covariance instruments.
    """

    source: BlockSource
    n_products: int
    n_agents: int
    n_random: int
    market_ids: np.ndarray[Any, Any]
    product_counts: Integers
    block_edges: Integers
    ZtX: Floats
    ZtZ: Floats
    moment_counts: tuple[int, ...]
    X_counts: tuple[int, ...]
    level_counts: tuple[tuple[int, ...], ...]
    absorption: tuple[AbsorptionControls, ...]
    n_clusters: int
    clusters_of_markets: bool = False
    rows_at: Path | None = None
    cluster_counts: tuple[int, ...] = ()
    quasi: QuasiDifferences | None = None
    n_covariance: int = 0

    @property
    def n_markets(self) -> int:
        """Count the markets, T."""
        return self.market_ids.size

    @property
    def has_supply(self) -> bool:
        """Tell whether there is a supply side."""
        return len(self.moment_counts) > 1

    @property
    def moment_equations(self) -> Integers:
        """Give the place of each moment's equation, ``(M,)``.

        Moments of different types are of different equations; those of products of
        errors, where there are any, are of one after both.
        """
        if self.quasi is not None:
            return self.quasi.pseudo_equations
        counts = self.moment_counts
        if self.n_covariance:
            counts = (*counts, self.n_covariance)
        return np.repeat(np.arange(len(counts)), counts)

    @property
    def block_sizes(self) -> Integers:
        """Count the products of each block, ``(B,)``."""
        return np.add.reduceat(self.product_counts, self.block_edges[:-1])
