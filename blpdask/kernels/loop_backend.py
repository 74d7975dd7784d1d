"""The Numba backend: functions of :mod:`blpdask.kernels.contract`, in one place."""

from __future__ import annotations

from .loop_conditions import conditions
from .loop_equilibrium import equilibrium
from .loop_logit import invert, shares
from .loop_markups import markups
from .loop_responses import jacobians, removals
from .loop_surveys import expectations

__all__ = [
    "conditions",
    "equilibrium",
    "expectations",
    "invert",
    "jacobians",
    "markups",
    "removals",
    "shares",
]
