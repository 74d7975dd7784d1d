"""How people move between states over time: the state is what they chose last.

A choice of alternative j leaves person i in state g(j), or in state 0 where it forms no
habit. With x_jt the characteristics of alternative j where the state is another's and
x_jt + ẋ_jt where it is its own,

    P_t(j | s) = e^{V_jt(s)} / Σ_l e^{V_lt(s)},   V_jt(s) = (x_jt + 1{s = g(j)} ẋ_jt)'β,
    p_t(j) = Σ_s π_{t-1}(s) P_t(j | s),           π_t(g) = Σ_{j: g(j) = g} p_t(j),

exactly and for each draw of β (Heckman 1981). The chance of a last state k has
derivatives by recursion backwards, ν_T(s) = 1{s = k}, ν_{t-1}(s) = Σ_j P_t(j | s)
ν_t(g(j)):

    ∂π_T(k)/∂V_jt(s) = π_{t-1}(s) P_t(j | s) (ν_t(g(j)) - ν_{t-1}(s)).

People are padded to one number of situations T and of alternatives J. Arrays have draws
last.

References
----------
Heckman (1981), "The Incidental Parameters Problem and the Problem of Initial
Conditions in Estimating a Discrete Time-Discrete Data Stochastic Process".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels.array_batches import group_sizes
from ..records import Floats, Integers

#: Bytes of P_t(j | s) of people who are worked on together, all situations counted.
HELD_BYTES = 2**25


@dataclass(frozen=True, slots=True, eq=False)
class ChoicePaths:
    """Situations of people in the order in which they are met.

    Attributes
    ----------
    X, lifts
        ``(N, K)`` x and ẋ; ẋ is zero where a long gap has wiped out the past.
    states
        ``(N,)`` g: 1 to ``n_states - 1``, or 0.
    situation_offsets
        ``(S + 1,)`` first row of each situation, then N.
    visits, visit_offsets
        ``(V,)`` places of situations in the order in which people meet them, which may
        be more than once; ``(I + 1,)`` first visit of each person, then V.
    initial
        ``(I,)`` state before the first visit.
    n_states
        G + 1.
    """

    X: Floats
    lifts: Floats
    states: Integers
    situation_offsets: Integers
    visits: Integers
    visit_offsets: Integers
    initial: Integers
    n_states: int

    @property
    def n_people(self) -> int:
        """Count the people, I."""
        return self.initial.size


@dataclass(frozen=True, slots=True, eq=False)
class PaddedPaths:
    """B people padded to T visits of J alternatives.

    Attributes
    ----------
    people
        ``(B,)`` their places among all.
    X, lifts
        ``(B, T, J, K)``.
    present, real
        ``(B, T, J)`` and ``(B, T)`` whether an alternative, or a visit, is there.
    leads
        ``(B, T, J, G + 1)`` one at the state a choice leads to, else zero.
    rows
        ``(B, T, J)`` rows of the table.
    initial
        ``(B, G + 1)`` one at the first state.
    """

    people: Integers
    X: Floats
    lifts: Floats
    present: np.ndarray[Any, np.dtype[np.bool_]]
    real: np.ndarray[Any, np.dtype[np.bool_]]
    leads: Floats
    rows: Integers
    initial: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """Chances at one visit.

    Attributes
    ----------
    before
        ``(B, G + 1, R)`` π_{t-1}.
    given
        ``(B, G + 1, J, R)`` P_t(j | s).
    chances
        ``(B, J, R)`` p_t.
    after
        ``(B, G + 1, R)`` π_t.
    """

    before: Floats
    given: Floats
    chances: Floats
    after: Floats


def pad_paths(paths: ChoicePaths, R: int) -> Iterator[PaddedPaths]:
    """Pad people of like sizes, as many at a time as R draws leave room for."""
    lengths = np.diff(paths.visit_offsets)
    sizes = np.diff(paths.situation_offsets)[paths.visits]
    widest = np.ones(paths.n_people, np.int64)
    owners = np.repeat(np.arange(paths.n_people), lengths)
    np.maximum.at(widest, owners, sizes)
    for group in group_sizes(widest, np.maximum(lengths, 1)):
        T, J = max(int(lengths[group].max()), 1), int(widest[group].max())
        step = max(1, HELD_BYTES // (8 * T * J * paths.n_states * R))
        for first in range(0, group.size, step):
            yield _pad(paths, group[first : first + step], T, J)


def walk_states(padded: PaddedPaths, beta: Floats) -> Iterator[Visit]:
    """Move states forward, visit by visit.

    Parameters
    ----------
    padded
        B people.
    beta
        ``(B, R, K)``.
    """
    R = beta.shape[1]
    state = np.repeat(padded.initial[:, :, np.newaxis], R, axis=2)
    for t in range(padded.X.shape[1]):
        given = _choose(padded, t, beta)
        chances = (state[:, :, np.newaxis] * given).sum(axis=1)
        moved = padded.leads[:, t].transpose(0, 2, 1) @ chances
        after = np.where(padded.real[:, t, np.newaxis, np.newaxis], moved, state)
        yield Visit(state, given, chances, after)
        state = after


def differentiate_last_state(
    padded: PaddedPaths, visits: list[Visit], last: Integers
) -> Floats:
    """Compute ∂log π_T(k)/∂β, ``(B, R, K)``.

    Parameters
    ----------
    padded
        B people.
    visits
        What :func:`walk_states` gave.
    last
        ``(B,)`` states k.
    """
    B, n_states, R = visits[-1].after.shape
    adjoint = np.zeros((B, n_states, R))
    adjoint[np.arange(B), last] = 1.0
    found = np.zeros((B, R, padded.X.shape[3]))
    for t in range(len(visits) - 1, -1, -1):
        here, real = visits[t], padded.real[:, t, np.newaxis, np.newaxis]
        value = (padded.leads[:, t] @ adjoint)[:, np.newaxis]
        mean = (here.given * value).sum(axis=2)
        by_V = here.before[:, :, np.newaxis] * here.given
        by_V *= value - mean[:, :, np.newaxis]
        by_V *= real[..., np.newaxis]
        own = padded.leads[:, t].transpose(0, 2, 1)[..., np.newaxis] * by_V
        found += by_V.sum(axis=1).transpose(0, 2, 1) @ padded.X[:, t]
        found += own[:, 1:].sum(axis=1).transpose(0, 2, 1) @ padded.lifts[:, t]
        adjoint = np.where(real, mean, adjoint)
    chance = visits[-1].after[np.arange(B), last]
    return found / chance[:, :, np.newaxis]


def _choose(padded: PaddedPaths, t: int, beta: Floats) -> Floats:
    """Compute P_t(j | s), ``(B, G + 1, J, R)``; zero where nothing is there."""
    by_draw = beta.transpose(0, 2, 1)
    V = padded.X[:, t] @ by_draw
    lift = padded.lifts[:, t] @ by_draw
    own = padded.leads[:, t].transpose(0, 2, 1).copy()
    own[:, 0] = 0.0
    V = V[:, np.newaxis] + own[..., np.newaxis] * lift[:, np.newaxis]
    V = np.where(padded.present[:, t, np.newaxis, :, np.newaxis], V, -np.inf)
    odds = np.exp(V - V.max(axis=2, keepdims=True))
    return np.asarray(odds / odds.sum(axis=2, keepdims=True))


def _pad(paths: ChoicePaths, people: Integers, T: int, J: int) -> PaddedPaths:
    """Stack the named people."""
    places = paths.visit_offsets[people][:, np.newaxis] + np.arange(T)
    real = places < paths.visit_offsets[people + 1][:, np.newaxis]
    situations = paths.visits[np.where(real, places, 0)]
    starts = paths.situation_offsets[situations]
    sizes = paths.situation_offsets[situations + 1] - starts
    # A visit that is not there has one alternative, whose choice is not looked at.
    present = np.arange(J) < np.where(real, sizes, 1)[..., np.newaxis]
    rows = np.where(present, starts[..., np.newaxis] + np.arange(J), 0)
    leads = np.eye(paths.n_states)[paths.states[rows]] * present[..., np.newaxis]
    return PaddedPaths(
        people=people,
        X=paths.X[rows],
        lifts=paths.lifts[rows],
        present=present,
        real=real,
        leads=leads,
        rows=rows,
        initial=np.eye(paths.n_states)[paths.initial[people]],
    )
