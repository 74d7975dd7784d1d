"""Accurate sums, compiled when they are first used."""

from __future__ import annotations

from ..records import Floats


def accurate_product(Z: Floats, values: Floats) -> Floats:
    """Compute Z' values, ``(M,)`` long doubles, as if in twice the working precision."""
    from .loop_sums import accurate_product

    return accurate_product(Z, values)
