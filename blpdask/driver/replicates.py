"""The same task n times over, each replicate a number: any engine, the same bits.

A replicate is a pure function of the data, the state and its number, so that the order
in which replicates come, who computes them, and whether the run was killed and went on
between two of them leave the answer as it is. Those that a store already holds are not
computed again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..partitions.replicate_store import Field, ReplicateStore
from .engine import Placement, Task

Stacked = dict[str, np.ndarray[Any, Any]]
#: Told of how many replicates are done, and of how many there are.
Counter = Callable[[int, int], None]


def run_replicates(
    placement: Placement,
    task: Task,
    state: Any,
    n: int,
    store: ReplicateStore | None = None,
    listener: Counter | None = None,
) -> Stacked:
    """Run replicates 0..n-1 of a task, those that are missing where there is a store.

    Parameters
    ----------
    placement
        Blocks where they are worked on.
    task
        Function of (source, state, replicate) to a dataclass of numbers and arrays.
    state
        Sent with every replicate.
    n
        How many.
    store
        Where each is written as soon as it is there; in memory where None.
    listener
        Told of how many are done, and of n, as they come.

    Returns
    -------
    dict
        Each field of the records, replicates along the first axis, ``(n, …)``.
    """
    missing = list(range(n)) if store is None else store.missing()
    held: dict[int, Any] = {}
    done = n - len(missing)
    for index, record in placement.replicate(task, state, missing):
        if store is None:
            held[index] = record
        else:
            store.write(index, as_fields(record))
        done += 1
        if listener is not None:
            listener(done, n)
    if store is not None:
        return store.read()
    return stack([held[index] for index in range(n)])


def stack(records: Sequence[Any]) -> Stacked:
    """Stack records of one dataclass, field by field, ``(R, …)``."""
    rows = [as_fields(record) for record in records]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def as_fields(record: Any) -> Stacked:
    """Give the fields of a record as arrays."""
    return {
        field.name: np.asarray(getattr(record, field.name))
        for field in dataclasses.fields(record)
    }


def fields_like(record: Any) -> dict[str, Field]:
    """Describe a record's fields for a store, by an example."""
    return {
        name: Field(value.shape, value.dtype.str)
        for name, value in as_fields(record).items()
    }
