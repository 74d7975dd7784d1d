"""How people are put into blocks: runs of whole people of about equal work.

A likelihood costs about N R K operations. Like blocks of markets, those of people are
a function of the data alone, so that sums have the same bits wherever they are made.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..choice_records import ChoiceBlock
from ..integration.rules import Rule
from ..partitions.plan import BLOCK_COST, MOST_BLOCKS, plan_blocks
from ..partitions.source import HeldBlocks
from ..records import Floats
from .choice_draws import count_draws
from .choice_table import ChoiceTable
from .drawn_blocks import DrawnBlocks, Draws
from .stored_choices import StoredChoiceTable


def cut_people(
    table: ChoiceTable, draws: Floats, log_weights: Floats | None = None
) -> HeldBlocks:
    """Cut a table into blocks.

    Parameters
    ----------
    table
        I people, sorted.
    draws
        ``(I, R, D)`` standard variates; ``(1, R, D)`` where people share them.
    log_weights
        ``(1, R)`` of draws that people share; None where all weigh one.

    Returns
    -------
    HeldBlocks
        Of :class:`blpdask.choice_records.ChoiceBlock`, whole people in order.
    """
    n_people, R = table.person_ids.size, draws.shape[1]
    if log_weights is None:
        log_weights = np.empty((0, 0))
    rows = np.diff(table.situation_offsets[table.person_offsets])
    operations = float(table.X.size) * R
    n_blocks = int(np.clip(np.ceil(operations / BLOCK_COST), 1, MOST_BLOCKS))
    edges = plan_blocks(rows, np.full(n_people, R), n_blocks)
    pairs = list(itertools.pairwise(edges.tolist()))
    labels = [f"people {first} to {stop - 1}" for first, stop in pairs]
    blocks = [
        cut_block(table, draws, log_weights, first, stop) for first, stop in pairs
    ]
    return HeldBlocks(blocks, labels=labels)


def cut_block(
    table: ChoiceTable, draws: Floats, log_weights: Floats, first: int, stop: int
) -> ChoiceBlock:
    """Take people from ``first`` to before ``stop``."""
    s0, s1 = (int(table.person_offsets[place]) for place in (first, stop))
    r0, r1 = (int(table.situation_offsets[place]) for place in (s0, s1))
    return ChoiceBlock(
        X=table.X[r0:r1],
        chosen=table.chosen[s0:s1] - r0,
        situation_offsets=table.situation_offsets[s0 : s1 + 1] - r0,
        person_offsets=table.person_offsets[first : stop + 1] - s0,
        weights=table.weights[first:stop],
        draws=draws[first:stop] if len(draws) > 1 else draws,
        log_weights=log_weights,
        demographics=table.demographics[first:stop],
    )


def make_blocks(
    table: ChoiceTable | StoredChoiceTable, rule: Rule, kinds: Sequence[str]
) -> DrawnBlocks:
    """Cut a table; draws for coefficients of ``kinds``, ``(D,)``, are made on load."""
    if isinstance(table, StoredChoiceTable):
        return table.blocks(rule, tuple(kinds))
    size = count_draws(rule, kinds) if kinds else 1
    # Blocks are cut by the work that draws make, which is known without them.
    people = cut_people(table, np.empty((table.n_people, size, 0)))
    counts = [people.load(b).n_people for b in range(len(people))]
    edges = np.concatenate([[0], np.cumsum(counts)])
    return DrawnBlocks(people, Draws.of(rule, kinds, edges))
