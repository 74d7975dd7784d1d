"""Build a store of choices: count, cut, sort rows into blocks of people, check, write.

A store of choices is a block store (:mod:`blpdask.partitions.store_writer`) whose
markets are people and whose products are alternatives, sorted by person and situation;
in place of agents it counts situations. Rows that are not available and situations of
a single alternative are left out while it is written. Memory is that of a part of the
table, of one block, and of what is as long as the people.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataWarning, Faults
from ..partitions.block_store import BlockStore
from ..partitions.plan import BLOCK_COST, MOST_BLOCKS, plan_blocks
from ..partitions.scratch import Scratch
from ..partitions.store_schema import StoredColumn, StoreDescription
from ..partitions.store_writer import BlockColumns, StoreWriter, check_target
from ..records import Integers
from . import formula_data
from .choice_checks import check_chosen, check_same_within, check_twice
from .choice_rows import ChoiceRows, read_rows
from .chunked_choices import FLAGS, SUBJECT, PeopleTable, open_choices
from .fields import factorize, some
from .store_builder import block_columns
from .store_checks import check_columns, named_columns
from .store_rows import BlockRows, Listener, RowSorter

#: Coefficients times draws that blocks are cut for: a block is a few ms of work.
WORK = 2000
#: Faults of blocks that a message lists.
MOST = 8
_NEEDED = ("situation_ids", "chosen")


def build_choice_blocks(
    path: Path,
    choice_data: Any,
    *,
    columns: Sequence[str] | None = None,
    n_blocks: int | None = None,
    overwrite: bool = False,
    tell: Listener,
) -> BlockStore:
    """Build a store of choices.

    Parameters
    ----------
    path
        Directory of the store.
    choice_data
        A table, Parquet files, or an iterable of tables.
    columns
        Columns that are kept beside those that every problem knows; all where None.
    n_blocks
        Number of blocks, chosen from the data where None.
    overwrite
        Whether a store that is there may be replaced.
    tell
        Told what is being done.

    Raises
    ------
    InputError
        With the faults of the table, and the people whose they are.
    StoreError
        Where something is there that may not be replaced.
    """
    check_target(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.chunks")
    scratch = Scratch(beside)
    try:
        table = open_choices(choice_data, scratch.path)
        _build(path, table, columns, n_blocks, overwrite, tell)
    finally:
        shutil.rmtree(scratch.path, ignore_errors=True)
        with suppress(OSError):
            beside.rmdir()
    return BlockStore.open(path)


def _build(
    path: Path,
    table: PeopleTable,
    columns: Sequence[str] | None,
    n_blocks: int | None,
    overwrite: bool,
    tell: Listener,
) -> None:
    """Write a table."""
    read = _choose_columns(table, columns)
    kept = tuple(column for column in read if column.name != "availability")
    counts = count_people(table, tell)
    ids = np.empty(len(counts), dtype=object)
    ids[:] = _sorted(counts)
    edges = _plan(np.array([counts[who] for who in ids], dtype=np.int64), n_blocks)
    description = StoreDescription(
        products=kept, agents=(), nodes=None, block_edges=tuple(edges.tolist())
    )
    with StoreWriter(path, description, overwrite=overwrite) as writer:
        folder = writer.scratch / SUBJECT
        folder.mkdir()
        faults = Faults(SUBJECT)
        places = {who: place for place, who in enumerate(ids)}
        sorter = RowSorter(table, read, places, edges, folder)
        sorter.scatter(faults, tell)
        faults.check()
        found = _Found(Faults(SUBJECT), panel=table.people == "person_ids")
        _write_blocks(writer, sorter, read, ids, edges, tell, found)


def _choose_columns(
    table: PeopleTable, columns: Sequence[str] | None
) -> tuple[StoredColumn, ...]:
    """Choose what is read."""
    faults = Faults(SUBJECT)
    found = table.columns
    names = {column.name for column in found}
    if columns is not None:
        for name in sorted(set(columns) - names - {"person_ids"}):
            faults.add(
                f"no column '{name}', which columns= names",
                f"columns among {', '.join(sorted(names))}",
                "correct columns=",
            )
        known = (*_NEEDED, "alternative_ids", "availability", "weights")
        wanted = {*columns, *known, "clustering_ids"}
        found = tuple(column for column in found if column.name in wanted)
    check_columns(found, _NEEDED, faults)
    for column in found:
        if column.name in FLAGS and column.kind == "text":
            faults.add(
                f"'{column.name}' that is not numeric ({column.dtype})",
                "0 or 1, or False or True",
                f"convert '{column.name}' to numbers",
            )
    faults.check()
    return found


def count_people(table: PeopleTable, tell: Listener) -> dict[Any, int]:
    """Count the rows of each person; a fault where rows have none."""
    counts: dict[Any, int] = {}
    missing = total = 0
    for part in table.parts(["market_ids"]):
        codes, unique = factorize(part["market_ids"])
        missing += int(np.count_nonzero(codes < 0))
        found = np.bincount(codes[codes >= 0], minlength=unique.size)
        for who, count in zip(unique, found.tolist(), strict=True):
            counts[who] = counts.get(who, 0) + count
        total += codes.size
        tell(f"Counting rows of people: {total:,}")
    faults = Faults(SUBJECT)
    if len({isinstance(who, str) for who in counts}) > 1:
        faults.add(
            f"'{table.people}' that are texts in some rows and numbers in others",
            "ids of one type",
            "convert all of them to text",
        )
    if missing:
        faults.add(
            f"{missing} missing values of '{table.people}'",
            f"one of '{table.people}' in every row",
            "fill them in or drop those situations",
        )
    if not total:
        faults.add("no rows", "a row an alternative", "read the data first")
    faults.check()
    return counts


def _sorted(counts: dict[Any, int]) -> tuple[Any, ...]:
    """Sort ids as they are sorted in memory."""
    levels = np.empty(len(counts), dtype=object)
    levels[:] = list(counts)
    return formula_data.factorize(levels)[0]


def _plan(rows: Integers, n_blocks: int | None) -> Integers:
    """Cut people of some rows each into blocks, ``(B + 1,)``."""
    if n_blocks is None:
        work = np.ceil(float(rows.sum()) * WORK / BLOCK_COST)
        n_blocks = int(np.clip(work, 1, MOST_BLOCKS))
    return plan_blocks(rows, np.ones(rows.size, np.int64), n_blocks)


@dataclass(slots=True)
class _Found:
    """What was found in the blocks so far: people, edges, situations, faults."""

    faults: Faults
    panel: bool
    more: int = 0
    ids: list[Any] = field(default_factory=list)
    edges: list[int] = field(default_factory=lambda: [0])
    situations: int = 0
    n_single: int = 0
    single: list[str] = field(default_factory=list)


def _write_blocks(
    writer: StoreWriter,
    sorter: RowSorter,
    columns: Sequence[StoredColumn],
    ids: np.ndarray[Any, Any],
    edges: Integers,
    tell: Listener,
    found: _Found,
) -> None:
    """Check and write every block, then what belongs to all of them."""
    levels = {name: np.array([*v, None], object) for name, v in sorter.levels.items()}
    for block in range(edges.size - 1):
        tell(f"Writing block {block + 1} of {edges.size - 1}")
        own = ids[edges[block] : edges[block + 1]]
        rows = sorter.take(block)
        given = _read_block(rows, columns, own, levels, found)
        if given is None or len(found.faults):
            continue
        sorted_rows, situations, kept = _sort(rows, given, columns, found)
        if kept.size:
            writer.add(len(found.edges) - 1, _columns(sorted_rows, situations))
            found.ids += own[kept].tolist()
            found.edges.append(len(found.ids))
    _report(found)
    stored = [column for column in columns if column.name != "availability"]
    own_levels: dict[tuple[str, int], Any] = {
        ("products", place): sorter.levels[column.name]
        for place, column in enumerate(stored)
        if column.kind == "text"
    }
    all_ids = np.empty(len(found.ids), dtype=object)
    all_ids[:] = found.ids
    block_edges = tuple(found.edges)
    writer.finish(all_ids, own_levels, block_edges=block_edges, unit="people")


def _columns(rows: BlockRows, situations: Integers) -> BlockColumns:
    """Put a block together as it is stored, situations a person in agents' place."""
    S = int(situations.sum())
    return replace(
        block_columns(rows, None, ()),
        agent_counts=situations,
        agent_numbers=np.empty((0, S)),
        agent_integers=np.empty((0, S), np.int64),
    )


def _read_block(
    rows: BlockRows,
    columns: Sequence[StoredColumn],
    ids: np.ndarray[Any, Any],
    levels: dict[str, np.ndarray[Any, Any]],
    found: _Found,
) -> ChoiceRows | None:
    """Read and check the ids, flags and weights of a block; faults go to ``found``."""
    faults = Faults(SUBJECT)
    table: dict[str, Any] = {}
    if found.panel:
        table["person_ids"] = np.repeat(ids, rows.counts)
    for name, values in named_columns(rows, columns).items():
        if name in (*_NEEDED, *FLAGS, "alternative_ids", "weights"):
            table[name] = levels[name][values] if name in levels else values
    given = read_rows(table, faults) if len(rows.rows) else None
    if given is not None:
        check_chosen(
            given.chosen, given.available, given.situations, given.names, faults
        )
        check_twice(given.alternatives, given.situations, given.names, faults)
        weights = ("weights", given.weights)
        check_same_within(*weights, given.people, given.person_ids, faults)
    for fault in faults:
        if len(found.faults) < MOST:
            found.faults.add_fault(fault)
        else:
            found.more += 1
    return given


def _sort(
    rows: BlockRows, given: ChoiceRows, columns: Sequence[StoredColumn], found: _Found
) -> tuple[BlockRows, Integers, Integers]:
    """Sort a block's rows; give its situations a person, and places of its people."""
    sizes = np.bincount(given.situations, minlength=len(given.names))
    single = np.flatnonzero(sizes == 1)
    found.situations += sizes.size
    found.n_single += single.size
    if single.size and len(found.single) < MOST:
        found.single.append(given.names.some(single[:1]))
    places = np.flatnonzero(sizes[given.situations] > 1)
    ties = places if given.alternatives is None else given.alternatives[places]
    places = places[np.lexsort((places, ties, given.situations[places]))]
    people = given.people[places]
    n_people = rows.counts.size
    # People of a block are coded in the order of their ids, as those of the store.
    counts = np.bincount(people, minlength=n_people)
    first = np.flatnonzero(np.diff(given.situations[places], prepend=-1))
    situations = np.bincount(people[first], minlength=n_people)
    kept = np.flatnonzero(counts)
    numbers, integers = iter(rows.numbers), iter(rows.integers)
    left: dict[str, list[Any]] = {"number": [], "integer": []}
    for column in columns:
        number = column.kind == "number"
        values = next(numbers if number else integers)[places]
        if column.name != "availability":
            left["number" if number else "integer"].append(values)
    written = BlockRows(
        counts=counts[kept],
        rows=rows.rows[places],
        numbers=np.array(left["number"], np.float64).reshape(-1, places.size),
        integers=np.array(left["integer"], np.int64).reshape(-1, places.size),
    )
    return written, situations[kept], kept


def _report(found: _Found) -> None:
    """Raise what is wrong with any block, and warn of what was left out."""
    if found.more:
        found.faults.add(
            f"{found.more} more faults, in later blocks", "none", "correct these first"
        )
    if not len(found.faults) and not found.ids:
        found.faults.add(
            "no situation with two alternatives",
            "situations in which something can be chosen",
            "look at availability and situation_ids",
        )
    found.faults.check()
    if found.n_single:
        warnings.warn(
            f"{found.n_single} of {found.situations} situations have a single "
            "available alternative and say nothing of tastes; they are left out: "
            f"{some(found.single)}",
            DataWarning,
            stacklevel=5,
        )
