"""Accurate sums, compiled when they are first used."""

from __future__ import annotations

from ..records import Floats


def accurate_product(Z: Floats, values: Floats) -> Floats:
    """Compute Z' values as if in twice the precision, ``(M,)`` long doubles."""
    from .loop_sums import accurate_product

    return accurate_product(Z, values)
