"""Unequal markets as few large arrays, on whichever device.

Markets with like numbers of products J and agents I are padded to one shape and
stacked along a leading axis, so that one array call serves B markets. Padding is exact:
a padded product has no utility to anyone (E = 0) and a share of one that stays put (an
identity row in every Jacobian); a padded agent has weight zero.

The same arrays hold on a CPU (``xp = numpy``) and on a GPU (``xp = cupy``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from ..records import Floats, Integers, MarketBlock

#: An array of whichever namespace computes: numpy.ndarray or cupy.ndarray.
Array: TypeAlias = Any

#: Padded over true size of a group of markets, at most.
PADDING = 1.25
#: Elements (i, j) below which a group is worth less than the calls it would cost, and
#: padded over true size that is allowed there.
SMALL_GROUP = 2**17
SMALL_PADDING = 2.0
#: Bytes of E per batch on a CPU, where a batch should stay in cache.
CACHE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Batch:
    """B markets padded to the same J and I; every array has the leading axis B.

    Attributes
    ----------
    markets
        ``(B,)`` places of the markets in their block.
    rows
        ``(B, J)`` product rows in the block; the block's N where padded.
    sizes
        ``(B,)`` true numbers of products.
    factor_offsets
        ``(B,)`` where each market's J (J + 1) / 2 entries start among the block's
        factors.
    X2
        ``(B, K2, J)`` characteristics, zero where padded.
    log_shares
        ``(B, J)`` log of observed shares, zero where padded.
    log_outside
        ``(B,)`` log of the observed outside share.
    padding
        ``(B, J)`` one where padded, else zero.
    draws
        ``(B, I, L)`` draws, zero where padded.
    weights
        ``(B, I)`` integration weights, zero where padded.
    members
        ``(B, J, H)`` one where a product is in a nest, else zero; H is zero without
        nests.
    nest_codes
        ``(B, H)`` which nests those are among all.
    availability
        ``(B, I, J)`` a_ij, one where padded; ``(B, 0, 0)`` where all is there for all.
    product_draws
        ``(B, S, I, J)`` draws that differ over products, zero where padded.
    product_columns
        ``(S,)`` which columns of draws those are.
    """

    markets: Array
    rows: Array
    sizes: Array
    factor_offsets: Array
    X2: Array
    log_shares: Array
    log_outside: Array
    padding: Array
    draws: Array
    weights: Array
    members: Array
    nest_codes: Array
    availability: Array
    product_draws: Array
    product_columns: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Say B, I and J."""
        return (*self.weights.shape, self.rows.shape[1])

    def available(self, agents: slice) -> Array | None:
        """Give a_ij of some agents, None where all is there for all."""
        return self.availability[:, agents] if self.availability.shape[1] else None

    def take(self, index: Array | slice) -> Batch:
        """Keep the markets of ``index``."""
        kept = {
            field.name: getattr(self, field.name)[index]
            for field in fields(self)
            if field.name != "product_columns"
        }
        return replace(self, **kept)


@dataclass(frozen=True, slots=True)
class PreparedBlock:
    """A block's padded markets, on the device, where they may stay between calls.

    Attributes
    ----------
    xp
        Namespace of the arrays, numpy or cupy.
    groups
        Padded markets of like shape.
    n_markets, n_products, factor_size
        Counts T, N and F = Σ J_t (J_t + 1) / 2 of the block.
    """

    xp: ModuleType
    groups: tuple[Batch, ...]
    n_markets: int
    n_products: int
    factor_size: int

    def batches(self, scratch_bytes: int) -> Iterator[Batch]:
        """Cut the groups so that E of one batch fits, one market at the least."""
        limit = min(scratch_bytes, CACHE_BYTES) if self.xp is np else scratch_bytes
        for group in self.groups:
            n_markets, n_agents, n_products = group.shape
            width = max(1, limit // (8 * n_agents * n_products))
            for first in range(0, n_markets, width):
                yield group.take(slice(first, first + width))


def prepare(block: MarketBlock, xp: ModuleType = np) -> PreparedBlock:
    """Pad the markets of a block into groups and move them to the device.

    Parameters
    ----------
    block
        The markets.
    xp
        Namespace to compute in: numpy, or cupy for a GPU.

    Returns
    -------
    PreparedBlock
        What :func:`blpdask.kernels.array_logit.invert` takes in place of the block.
    """
    products = np.diff(block.product_offsets)
    agents = np.diff(block.agent_offsets)
    groups = group_sizes(products, agents)
    return PreparedBlock(
        xp=xp,
        groups=tuple(_pad(block, markets, xp) for markets in groups),
        n_markets=block.n_markets,
        n_products=block.n_products,
        factor_size=int(_triangles(products).sum()),
    )


def to_host(array: Array, xp: ModuleType) -> Any:
    """Bring an array to the host as numpy.ndarray; from a GPU this waits for it."""
    return array if xp is np else xp.asnumpy(array)


def gather(values: Array, batch: Batch, xp: ModuleType) -> Array:
    """Arrange a block's rows ``(N,)`` as ``(B, J)``, zero where padded."""
    return xp.concatenate([values, xp.zeros(1)])[batch.rows]


def factor_places(batch: Batch, factor_size: int, xp: ModuleType) -> Array:
    """Locate L[j, k] of each market among the block's factors; F where there is none.

    That is above the diagonal, and where products are padded.
    """
    place = xp.arange(batch.rows.shape[1])
    row = place[:, None]
    above = xp.asarray(_triangles(np.arange(batch.rows.shape[1])))[:, None]
    flat = batch.factor_offsets[:, None, None] + above + place
    inside = (row < batch.sizes[:, None, None]) & (place <= row)
    return xp.where(inside, flat, factor_size)


def group_sizes(products: Integers, agents: Integers) -> list[Integers]:
    """Sort markets into groups that lose little by padding."""
    shapes = np.stack([_size_class(products), _size_class(agents)], axis=1)
    classes, member = np.unique(shapes, axis=0, return_inverse=True)
    member = member.ravel()
    volumes = np.bincount(member, weights=products * agents)
    counts = np.bincount(member)
    groups: list[list[int]] = []
    for c in range(classes.shape[0] - 1, -1, -1):
        merged = [*groups[-1], c] if groups else [c]
        padded = counts[merged].sum() * classes[merged].max(axis=0).prod()
        allowed = SMALL_PADDING if padded <= SMALL_GROUP else PADDING
        if groups and padded <= allowed * volumes[merged].sum():
            groups[-1] = merged
        else:
            groups.append([c])
    return [np.flatnonzero(np.isin(member, group)) for group in groups]


def _size_class(sizes: Integers) -> Integers:
    """Round sizes up to their four leading binary digits."""
    step = 2 ** np.maximum(0, np.floor(np.log2(sizes)).astype(np.int64) - 3)
    rounded: Integers = -(-sizes // step) * step
    return rounded


def _pad(block: MarketBlock, markets: Integers, xp: ModuleType) -> Batch:
    """Stack the named markets, padded to the largest of them."""
    rows, has_product = _padded_rows(block.product_offsets, markets)
    agent_rows, has_agent = _padded_rows(block.agent_offsets, markets)
    triangles = _triangles(np.diff(block.product_offsets))
    X2: Floats = np.where(has_product, block.X2[:, rows], 0.0)
    members, nest_codes = _pad_nests(block, rows, has_product)
    return Batch(
        markets=xp.asarray(markets),
        rows=xp.asarray(np.where(has_product, rows, block.n_products)),
        sizes=xp.asarray(has_product.sum(axis=1)),
        factor_offsets=xp.asarray((np.cumsum(triangles) - triangles)[markets]),
        X2=xp.asarray(np.ascontiguousarray(X2.transpose(1, 0, 2))),
        log_shares=xp.asarray(np.where(has_product, block.log_shares[rows], 0.0)),
        log_outside=xp.asarray((block.log_shares - block.logit_delta)[rows[:, 0]]),
        padding=xp.asarray(1.0 - has_product),
        draws=xp.asarray(np.where(has_agent[..., None], block.draws[agent_rows], 0.0)),
        weights=xp.asarray(np.where(has_agent, block.weights[agent_rows], 0.0)),
        members=xp.asarray(members),
        nest_codes=xp.asarray(nest_codes),
        availability=xp.asarray(_pad_availability(block, markets)),
        product_draws=xp.asarray(_pad_product_draws(block, markets)),
        product_columns=block.product_columns,
    )


def _pad_nests(
    block: MarketBlock, rows: Integers, has_product: Any
) -> tuple[Floats, Integers]:
    """Make N ``(B, J, H)`` of each market and the codes of its nests ``(B, H)``.

    Where draws differ over products and there are no nests, one of all has ρ = 0.
    """
    B, J = rows.shape
    if block.nests is None and not block.product_columns:
        return np.zeros((B, J, 0)), np.zeros((B, 0), np.int64)
    if block.nests is None:
        return has_product[..., None].astype(np.float64), np.zeros((B, 1), np.int64)
    places = np.zeros((B, J), np.int64)
    found = []
    for b in range(B):
        inside = has_product[b]
        codes, places[b, inside] = np.unique(
            block.nests[rows[b, inside]], return_inverse=True
        )
        found.append(codes)
    H = max(codes.size for codes in found)
    nest_codes = np.zeros((B, H), np.int64)
    for b, codes in enumerate(found):
        nest_codes[b, : codes.size] = codes
    members = (places[..., None] == np.arange(H)) & has_product[..., None]
    return members.astype(np.float64), nest_codes


def _pad_availability(block: MarketBlock, markets: Integers) -> Floats:
    """Stack a_ij of markets, one where padded, ``(B, I, J)``."""
    if block.availability is None:
        return np.zeros((markets.size, 0, 0))
    return _pad_people(block, markets, block.availability, 1.0)


def _pad_product_draws(block: MarketBlock, markets: Integers) -> Floats:
    """Stack draws that differ over products, zero where padded, ``(B, S, I, J)``."""
    if block.product_draws is None:
        return np.zeros((markets.size, 0, 0, 0))
    parts = [_pad_people(block, markets, draws, 0.0) for draws in block.product_draws]
    return np.stack(parts, axis=1)


def _pad_people(
    block: MarketBlock, markets: Integers, values: Floats, fill: float
) -> Floats:
    """Stack what agents and products of markets have, ``(B, I, J)``."""
    agents, products = np.diff(block.agent_offsets), np.diff(block.product_offsets)
    offsets = np.concatenate([[0], np.cumsum(agents * products)])
    shape = markets.size, agents[markets].max(), products[markets].max()
    padded = np.full(shape, fill)
    for b, t in enumerate(markets):
        held = values[offsets[t] : offsets[t + 1]]
        padded[b, : agents[t], : products[t]] = held.reshape(agents[t], products[t])
    return padded


def _triangles(J: Integers) -> Integers:
    """Count the entries of lower triangles."""
    return J * (J + 1) // 2


def _padded_rows(offsets: Integers, markets: Integers) -> tuple[Integers, Any]:
    """List each market's rows; padded places repeat its first row and say False."""
    sizes = np.diff(offsets)[markets]
    place = np.arange(sizes.max())
    inside = place < sizes[:, None]
    rows: Integers = offsets[markets][:, None] + np.where(inside, place, 0)
    return rows, inside
