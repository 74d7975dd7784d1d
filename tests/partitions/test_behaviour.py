"""Digests of functions and objects tell what they do, the same in every process.

Invariants: whatever a function holds or reads, or an edit of its body, changes its
digest; two made alike have one digest, under any order of hashes; a function that holds
itself has a digest at all.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import pytest
import scipy.optimize

import blpdask
from blpdask.partitions.sealed import digest

ROOT = Path(__file__).parents[2]
SOURCE = """
import math
{top}
def helper(x):
    return {helper}
def routine(x, start={default}, *, scale={keyword}):
    def inner(y):
        return {inner}
    return [helper(inner(y)) for y in x if y in {{"a", "b", "c"}}], {names}
"""
BODY = {
    "top": "LIMIT = 3",
    "helper": "math.exp(x)",
    "default": "1",
    "keyword": "(1, 2)",
    "inner": "y + 1",
    "names": "LIMIT",
}


def edited(**changes):
    """Make a function as an edit of its source would."""
    names = {"__name__": "users"}
    exec(SOURCE.format(**{**BODY, **changes}), names)
    return names["routine"]


def routine(tolerance, *further):
    def fixed(x):
        return fixed if x > tolerance else further

    return fixed


class Power:
    """A callable object."""

    exponent = 2

    def __init__(self, shift=0.0):
        self.shift = shift

    def __call__(self, x):
        return (x + self.shift) ** self.exponent


class Slotted:
    __slots__ = ("shift",)

    def __init__(self, shift):
        self.shift = shift


@dataclasses.dataclass(frozen=True)
class Record:
    shift: float

    def __call__(self, x):
        return x + self.shift


@numba.njit
def plus_one(x):
    return x + 1


@numba.njit
def plus_two(x):
    return x + 2


def with_method(method):
    return type("Record", (Record,), {"__module__": "users", "__call__": method})


def attributed(value):
    made = routine(1.0)
    made.value = value
    return made


def frame(text):
    return pd.DataFrame({"a": [1.0, 2.0], "b": ["x", text]})


PAIRS = {
    "closure": (lambda: routine(1e-1), lambda: routine(1e-13)),
    "nested closure": (lambda: routine(routine(1)), lambda: routine(routine(2))),
    "array in a closure": (lambda: routine(np.ones(2)), lambda: routine(np.zeros(2))),
    "table in a closure": (lambda: routine(frame("y")), lambda: routine(frame("z"))),
    "generator": (
        lambda: routine(np.random.default_rng(1)),
        lambda: routine(np.random.default_rng(2)),
    ),
    "set": (lambda: routine({"a", "b"}), lambda: routine({"a", "c"})),
    "attribute": (lambda: attributed(1), lambda: attributed(2)),
    "partial": (
        lambda: functools.partial(routine, 1, x=2),
        lambda: functools.partial(routine, 1, x=3),
    ),
    "bound method": (lambda: Power(1.0).__call__, lambda: Power(2.0).__call__),
    "object": (lambda: Power(1.0), lambda: Power(2.0)),
    "slots": (lambda: Slotted(1.0), lambda: Slotted(2.0)),
    "record": (lambda: Record(1.0), lambda: Record(2.0)),
    "method of a record": (
        lambda: with_method(lambda self, x: x)(1.0),
        lambda: with_method(lambda self, x: -x)(1.0),
    ),
    "compiled": (lambda: plus_one, lambda: plus_two),
    "cached": (
        lambda: functools.cache(edited()),
        lambda: functools.cache(edited(inner="y + 2")),
    ),
    "library": (lambda: np.linalg.norm, lambda: np.linalg.det),
    "builtin": (lambda: max, lambda: min),
    "ufunc": (lambda: np.exp, lambda: np.log),
    "scipy": (scipy.optimize.BFGS, scipy.optimize.SR1),
    "lambda": (lambda: lambda x: x, lambda: lambda x: x + 1),
    "iteration": (
        lambda: blpdask.Iteration("simple", {"norm": routine(1)}),
        lambda: blpdask.Iteration("simple", {"norm": routine(2)}),
    ),
    **{
        f"edited {part}": (edited, functools.partial(edited, **{part: value}))
        for part, value in {
            "top": "LIMIT = 4",
            "helper": "math.log(x)",
            "default": "2",
            "keyword": "(1, 3)",
            "inner": "y + 2",
            "names": "LIMIT + 1",
        }.items()
    },
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_does_otherwise_has_another_digest(name):
    one, other = PAIRS[name]
    assert digest(one()) == digest(one())
    assert digest(other()) == digest(other())
    assert digest(one()) != digest(other())


def digests() -> list[str]:
    return [f"{name} {digest([make() for make in PAIRS[name]])}" for name in PAIRS]


def test_digests_are_the_same_in_every_process():
    found = {
        subprocess.run(
            [sys.executable, "-m", "tests.partitions.test_behaviour"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    (lines,) = found
    assert len(lines.splitlines()) == len(PAIRS)


def test_a_call_changes_no_digest_of_what_it_leaves_alone():
    power, table = Power(1.0), frame("y")
    before = digest((power, plus_one, table))
    assert (power(1.0), plus_one(1), table["a"].sum()) == (4.0, 2, 3.0)
    assert digest((power, plus_one, table)) == before


def test_cycles_end():
    held = []
    made = routine(held)
    held.append({made})
    assert digest(made) != digest(routine([]))
    power = Power()
    power.shift = power
    assert digest(power) == digest(power) != digest(Power())


def test_a_wrapper_is_not_what_it_wraps():
    @functools.wraps(np.linalg.norm)
    def wrapper(x):
        return 2 * x

    assert digest(wrapper) != digest(np.linalg.norm)


if __name__ == "__main__":
    print("\n".join(digests()))
