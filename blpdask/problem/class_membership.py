"""What tells people's classes: columns of a table of choices, one row a person.

D_i is what a formula makes of the table's columns, which must be the same in all rows
of a person; without a formula it is a constant. Its columns must tell γ: none is a
combination of others.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..choice_records import ChoiceBlock
from ..errors import Faults
from ..model.latent_classes import ClassedBlock
from ..partitions.source import BlockSource, HeldBlocks
from ..records import Floats
from .choice_checks import check_same_within, find_dependent
from .choice_table import ChoiceTable
from .fields import build_design, field_names
from .formula_data import read_column
from .formulas import ParsedFormula


@dataclass(frozen=True, slots=True, eq=False)
class Membership:
    """D ``(I, M)`` of people in the order of a table's, and names ``(M,)``."""

    values: Floats
    labels: tuple[str, ...]


def read_membership(
    data: Any,
    formula: ParsedFormula | None,
    table: ChoiceTable,
    faults: Faults,
    *,
    tolerance: float = 1e-10,
) -> Membership | None:
    """Read D, None where there are faults.

    Parameters
    ----------
    data
        The table as given.
    formula
        Of D, None for a constant.
    table
        The same, read.
    faults
        Where faults go.
    tolerance
        What earlier columns must leave of a column, of its norm.
    """
    n_people = table.person_ids.size
    if formula is None:
        return Membership(np.ones((n_people, 1)), ("1",))
    before = len(faults)
    here = data
    if formula.names <= set(field_names(data)):
        here = {name: read_column(data, name)[table.rows] for name in formula.names}
    if not formula.names:
        here = {"": np.zeros(table.rows.size)}
    design = build_design(here, formula, faults)
    if design is None:
        return None
    firsts = table.situation_offsets[table.person_offsets]
    people = np.repeat(np.arange(n_people), np.diff(firsts))
    labels = tuple(column.name for column in design.columns)
    for label, values in zip(labels, design.values.T, strict=True):
        name = f"values of '{label}' in membership"
        check_same_within(name, values, people, table.person_ids, faults)
    values = np.ascontiguousarray(design.values[firsts[:-1]])
    if len(faults) == before:
        _check_rank(values, labels, tolerance, faults)
    return Membership(values, labels) if len(faults) == before else None


def add_membership(source: BlockSource, membership: Floats) -> HeldBlocks:
    """Give blocks of people, in order, their rows of D ``(I, M)``."""
    blocks = [source.load(index) for index in range(len(source))]
    stops = np.cumsum([0, *(block.n_people for block in blocks)]).tolist()
    classed = [
        ClassedBlock(**_attributes(block), membership=membership[first:stop])
        for block, (first, stop) in zip(blocks, itertools.pairwise(stops), strict=True)
    ]
    labels = [f"people {i} to {j - 1}" for i, j in itertools.pairwise(stops)]
    return HeldBlocks(classed, labels=labels)


def _attributes(block: ChoiceBlock) -> dict[str, Any]:
    return {item.name: getattr(block, item.name) for item in fields(block)}


def _check_rank(
    values: Floats, labels: tuple[str, ...], tolerance: float, faults: Faults
) -> None:
    """Look for columns that those before them make."""
    short = find_dependent(labels, values, tolerance)
    if short:
        faults.add(
            f"columns [{', '.join(short)}] of membership that over people are "
            "combinations of those before them",
            "columns whose coefficients can be told apart",
            "leave them out",
        )
