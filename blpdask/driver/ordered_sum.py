"""Add records in a fixed order, so that a sum has the same bits wherever it is made.

Floating-point addition is not associative: (a + b) + c differs from a + (b + c) in the
last bits. Records are therefore added one after another in the order of their blocks,
never in the order in which they arrive.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

Record = TypeVar("Record")


def ordered_sum(records: Sequence[Record]) -> Record:
    """Add records of one dataclass field by field, first to last.

    Fields are numbers, arrays or tuples, which ``+`` adds or joins; arrays of fields
    marked :data:`blpdask.records.JOINED` are concatenated along their first axis.
    Records of a class with ``order_free = True`` promise that their sums are exact in
    any order, so that a worker may add its own before it sends them.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Words:
    ...     count: int
    ...     longest: tuple
    >>> ordered_sum([Words(2, ("a",)), Words(3, ("bc",))])
    Words(count=5, longest=('a', 'bc'))
    """
    first = records[0]
    combined: dict[str, Any] = {}
    for field in dataclasses.fields(first):  # type: ignore[arg-type]
        values = [getattr(record, field.name) for record in records]
        if field.metadata.get("combine") == "join":
            combined[field.name] = np.concatenate(values)
        else:
            combined[field.name] = functools.reduce(lambda a, b: a + b, values)
    return type(first)(**combined)
