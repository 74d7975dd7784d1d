"""Passes over blocks of words, which know no economics."""

from __future__ import annotations

import dataclasses

import numpy as np

from blpdask.records import JOINED


@dataclasses.dataclass(frozen=True)
class Count:
    total: float
    words: np.ndarray = dataclasses.field(metadata=JOINED)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a block remembers: all states on the way to it are in its value."""

    value: float
    path: np.ndarray


class Calls:
    """Counts calls of the passes, for tests that ask what was computed."""

    number = 0


def chain_pass(block, state, anchor):
    """Give a number that depends on every state and anchor before, to the last bit."""
    Calls.number += 1
    before = Seen(float(len(block)), np.empty(0)) if anchor is None else anchor
    value = np.sin(before.value + state / 3.0)
    path = np.append(before.path, state)
    return Count(float(value), np.array([path.size])), Seen(float(value), path)


def recall_pass(block, state, anchor):
    del block, state
    return anchor.value, None


def wide_pass(block, state, anchor):
    """Give a record larger than logs take."""
    del anchor
    Calls.number += 1
    return Count(float(state), np.arange(2_200_000.0) + len(block)), None
