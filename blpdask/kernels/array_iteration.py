"""Many markets iterating together, each stopping when it has to.

All markets of a batch take the same pass; masks hold those that have ended. When half
have ended, the pass goes on with the others only. What a market returns is thereby its
own affair: the company it kept in the batch changes rounding, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from ..status import InversionStatus
from .array_batches import Array
from .array_shares import ShareMap

#: Status of a market that still iterates.
RUNNING = -1
CONVERGED = int(InversionStatus.CONVERGED)
MAX_EVALUATIONS = int(InversionStatus.MAX_EVALUATIONS)
NONFINITE = int(InversionStatus.NONFINITE)

State = TypeVar("State", bound="IterationState")


@dataclass(slots=True)
class IterationState:
    """Where each of B markets stands; every array has the leading axis B.

    Attributes
    ----------
    members
        ``(B,)`` places of the markets in the batch that the iteration began with.
    delta
        ``(B, J)`` mean utilities.
    status
        ``(B,)`` codes of :class:`blpdask.status.InversionStatus`, or RUNNING.
    iterations, evaluations
        ``(B,)`` steps taken and share maps computed.
    """

    members: Array
    delta: Array
    status: Array
    iterations: Array
    evaluations: Array


def begin(delta: Array, xp: ModuleType) -> IterationState:
    """Start every market at δ ``(B, J)``."""
    n_markets = delta.shape[0]
    return IterationState(
        members=xp.arange(n_markets),
        delta=xp.array(delta),
        status=xp.full(n_markets, RUNNING),
        iterations=xp.zeros(n_markets, dtype=np.int64),
        evaluations=xp.zeros(n_markets, dtype=np.int64),
    )


def shrink(
    outcome: IterationState,
    state: State,
    share_map: ShareMap,
    running: np.ndarray[Any, np.dtype[np.bool_]],
) -> tuple[State, ShareMap]:
    """Write how every market stands and go on with the running ones, if few.

    Parameters
    ----------
    outcome
        Where the whole batch's answers are written.
    state, share_map
        The markets at work.
    running : (B,)
        Which of them run, on the host.

    Returns
    -------
    tuple
        State and map to go on with.
    """
    count = int(running.sum())
    if 2 * count > running.size:
        return state, share_map
    for field in fields(IterationState):
        if field.name != "members":
            getattr(outcome, field.name)[state.members] = getattr(state, field.name)
    if count == 0:
        return state, share_map
    index = share_map.xp.asarray(np.flatnonzero(running))
    kept: Any = {f.name: getattr(state, f.name)[index] for f in fields(state)}
    return replace(state, **kept), share_map.restrict(index)


def sup_norm(values: Array) -> Array:
    """Take the largest absolute value of each market, ``(B,)``; NaN where any is."""
    return abs(values).max(axis=1)
