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

Of an alternative there are two odds, e = e^{x'β} and ė = e^{(x + ẋ)'β}. With D_s the
sum of odds in state s and Q_s = π_{t-1}(s) / D_s,

    p_t(j) = e_j Σ_{s≠g(j)} Q_s + ė_j Q_{g(j)},

so that no array has both states and alternatives. People are padded to one number of
situations T and of alternatives J. Arrays have draws last.

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

#: Bytes of odds of people who are worked on together, all their situations counted.
HELD_BYTES = 2**22


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
    leads, own, other
        ``(B, T, J, G + 1)`` one at the state a choice leads to, else zero; the same,
        but zero at state 0; and one less that.
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
    own: Floats
    other: Floats
    rows: Integers
    initial: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """Chances at one visit.

    Attributes
    ----------
    plain, lifted
        ``(B, J, R)`` e and ė, to a common factor; zero where nothing is there.
    totals, quotients
        ``(B, G + 1, R)`` D and Q.
    chances
        ``(B, J, R)`` p_t.
    after
        ``(B, G + 1, R)`` π_t.
    """

    plain: Floats
    lifted: Floats
    totals: Floats
    quotients: Floats
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
        step = max(1, HELD_BYTES // (16 * T * (J + paths.n_states) * R))
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
    by_draw = beta.transpose(0, 2, 1)
    state = np.repeat(padded.initial[:, :, np.newaxis], beta.shape[1], axis=2)
    for t in range(padded.X.shape[1]):
        own, other = padded.own[:, t], padded.other[:, t]
        plain, lifted = _odds(padded, t, by_draw)
        totals = _turn(other) @ plain + _turn(own) @ lifted
        quotients = state / totals
        chances = plain * (other @ quotients) + lifted * (own @ quotients)
        moved = _turn(padded.leads[:, t]) @ chances
        state = np.where(padded.real[:, t, np.newaxis, np.newaxis], moved, state)
        yield Visit(plain, lifted, totals, quotients, chances, state)


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
        own, other = padded.own[:, t], padded.other[:, t]
        Q, value = here.quotients * real, padded.leads[:, t] @ adjoint
        mean = _turn(other) @ (here.plain * value) + _turn(own) @ (here.lifted * value)
        mean /= here.totals
        by_plain = here.plain * (value * (other @ Q) - other @ (Q * mean))
        by_lifted = here.lifted * (value * (own @ Q) - own @ (Q * mean))
        found += _turn(by_plain + by_lifted) @ padded.X[:, t]
        found += _turn(by_lifted) @ padded.lifts[:, t]
        adjoint = np.where(real, mean, adjoint)
    chance = visits[-1].after[np.arange(B), last]
    return found / chance[:, :, np.newaxis]


def _odds(padded: PaddedPaths, t: int, by_draw: Floats) -> tuple[Floats, Floats]:
    """Compute e and ė at β ``(B, K, R)``, relative to the largest of both."""
    there = padded.present[:, t, :, np.newaxis]
    plain = padded.X[:, t] @ by_draw
    lifted = np.where(there, plain + padded.lifts[:, t] @ by_draw, -np.inf)
    plain = np.where(there, plain, -np.inf)
    highest = np.maximum(plain, lifted).max(axis=1, keepdims=True)
    return np.exp(plain - highest), np.exp(lifted - highest)


def _turn(stacked: Floats) -> Floats:
    """Swap the last two axes."""
    return stacked.transpose(0, 2, 1)


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
    own = leads * (np.arange(paths.n_states) > 0)
    return PaddedPaths(
        people=people,
        X=paths.X[rows],
        lifts=paths.lifts[rows],
        present=present,
        real=real,
        leads=leads,
        own=own,
        other=1.0 - own,
        rows=rows,
        initial=np.eye(paths.n_states)[paths.initial[people]],
    )
