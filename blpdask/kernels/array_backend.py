"""The array backends: one source for NumPy and, on a GPU, CuPy.

Batches of a block stay on the device between calls, as long as the block itself lives.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..errors import BlpdaskError
from ..records import (
    ChoiceFunctions,
    Floats,
    Inversion,
    InversionControls,
    InversionStart,
    MarketBlock,
    Markups,
    PriceConditions,
    PriceSearch,
    PriceTastes,
    Tastes,
    TrialPrices,
)
from .array_batches import PreparedBlock
from .array_conditions import conditions
from .array_logit import invert, prepare, shares
from .array_markups import markups
from .array_removals import removals
from .array_responses import jacobians
from .array_surveys import expectations


class ArrayBackend:
    """Array kernels bound to a namespace of arrays."""

    def __init__(self, xp: ModuleType) -> None:
        """Compute with the arrays of ``xp``."""
        self._xp = xp
        self._prepared: WeakKeyDictionary[MarketBlock, PreparedBlock] = (
            WeakKeyDictionary()
        )

    def invert(
        self,
        block: MarketBlock,
        tastes: Tastes,
        start: InversionStart,
        controls: InversionControls,
    ) -> Inversion:
        """Solve s(δ, θ) = S for δ in every market and differentiate the solution."""
        return invert(self._prepare(block), tastes, start, controls, xp=self._xp)

    def shares(self, block: MarketBlock, tastes: Tastes, delta: Floats) -> Floats:
        """Compute s(δ, θ), ``(N,)``, at given mean utilities."""
        return shares(self._prepare(block), tastes, delta, xp=self._xp)

    def markups(
        self,
        block: MarketBlock,
        tastes: Tastes,
        price_tastes: PriceTastes,
        delta: Floats,
        delta_by_theta: Floats,
        scratch_bytes: int,
    ) -> Markups:
        """Solve Δη = S for η in every market and differentiate along δ(θ)."""
        assert block.supply is not None
        return markups(
            self._prepare(block),
            block.supply,
            block.product_offsets,
            tastes,
            price_tastes,
            delta,
            delta_by_theta,
            scratch_bytes,
        )

    def conditions(
        self,
        block: MarketBlock,
        tastes: Tastes,
        trial: TrialPrices,
        margins: Floats,
        active: NDArray[np.bool_],
        scratch_bytes: int,
    ) -> PriceConditions:
        """Compute s, Λ and ζ at trial prices, in the active markets alone."""
        assert block.supply is not None
        return conditions(
            self._prepare(block),
            block.supply,
            block.product_offsets,
            tastes,
            trial,
            margins,
            active,
            scratch_bytes,
        )

    def equilibrium(
        self,
        block: MarketBlock,
        tastes: Tastes,
        line: TrialPrices,
        start: Floats,
        costs: Floats,
        controls: InversionControls,
    ) -> PriceSearch | None:
        """Leave iterating to those who ask for conditions of all markets at once."""
        del self, block, tastes, line, start, costs, controls
        return None

    def expectations(
        self,
        block: MarketBlock,
        tastes: Tastes,
        functions: ChoiceFunctions,
        delta: Floats,
        delta_by_theta: Floats,
        derivatives: bool,
    ) -> tuple[Floats, Floats]:
        """Compute E ``(L,)`` of functions and, along δ(θ), ∂E/∂θ ``(L, P)``."""
        return expectations(
            self._prepare(block),
            block,
            tastes,
            functions,
            delta,
            delta_by_theta,
            derivatives,
        )

    def jacobians(
        self,
        block: MarketBlock,
        tastes: Tastes,
        trial: TrialPrices,
        scratch_bytes: int,
        room: Floats | None = None,
    ) -> tuple[Floats, Floats]:
        """Compute ∂s_j/∂x_k of all markets, ``(F,)``, and s ``(N,)``."""
        prepared, offsets = self._prepare(block), block.product_offsets
        found = jacobians(prepared, offsets, tastes, trial, scratch_bytes)
        return _put(found[0], room), found[1]

    def removals(
        self,
        block: MarketBlock,
        tastes: Tastes,
        delta: Floats,
        scratch_bytes: int,
        room: Floats | None = None,
    ) -> tuple[Floats, Floats]:
        """Compute what k gains where j is gone, ``(F,)``, and s ``(N,)``."""
        prepared, offsets = self._prepare(block), block.product_offsets
        found = removals(prepared, offsets, tastes, delta, scratch_bytes)
        return _put(found[0], room), found[1]

    def _prepare(self, block: MarketBlock) -> PreparedBlock:
        """Find the block's batches on the device, or put them there."""
        prepared = self._prepared.get(block)
        if prepared is None:
            prepared = prepare(block, self._xp)
            self._prepared[block] = prepared
        return prepared


def _put(values: Floats, room: Floats | None) -> Floats:
    """Put values where there is room for them, if any."""
    if room is None:
        return values
    room[:] = values
    return room


@functools.cache
def array_backend(name: str) -> ArrayBackend:
    """Give the backend ``"numpy"`` or ``"cupy"``."""
    return ArrayBackend(array_namespace(name))


def array_namespace(name: str) -> ModuleType:
    """Import the arrays of the backend ``"numpy"`` or ``"cupy"``.

    Raises
    ------
    BlpdaskError
        Where CuPy or a GPU is missing.
    """
    if name == "numpy":
        return importlib.import_module("numpy")
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise BlpdaskError(
            "found: no package cupy\n"
            "  expected: CuPy for backend='cupy'\n"
            "  what to do: pip install 'blpdask[cupy12]' or 'blpdask[cupy13]', by your "
            "CUDA version, or use backend='numba'"
        ) from error
    if not cupy.is_available():
        raise BlpdaskError(
            "found: CuPy, but no GPU that it can use\n"
            "  expected: an NVIDIA GPU with its driver\n"
            "  what to do: run on a machine with one, or use backend='numba'"
        )
    return cupy
