"""The functions of a block that surveys ask for, as products of factors.

Weights W_d of datasets and values v_p of parts are split into factors
(:mod:`.survey_factors`); functions are their products, in the order of
:class:`blpdask.moments.surveys.SurveyLayout`,

    W_d(p) v_p,   W_d;   and squares   W_d(p) v_p v_q.

A factor that is zero or one is left out beside one that is zero wherever it is: an
indicator is its own square, and prices need no indicator of a purchase. Functions of
datasets of second choices say by which groups first choices are removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..moments.surveys import SurveyLayout
from ..records import ChoiceFunctions, Floats, Integers, SurveyRows
from .survey_factors import NONE, Split

#: Factors of one kind that a function may have.
TERMS = 3


@dataclass(frozen=True, slots=True, eq=False)
class SecondChoices:
    """What a block's datasets of second choices need beside factors of one choice.

    Attributes
    ----------
    removals
        ``(D,)`` row of ``groups`` of each dataset; -1 for those of first choices.
    groups
        ``(FR, N + T)`` codes of groups that are removed together.
    pairs
        ``(FG, Σ (1 + J_t)²)`` factors of first and second choices.
    triples
        ``(FZ, Σ I_t (1 + J_t)²)`` factors of agents and both.
    """

    removals: Integers
    groups: Integers
    pairs: Floats
    triples: Floats


def survey_rows(
    layout: SurveyLayout,
    weights: Sequence[Split],
    values: Sequence[Split],
    arrays: tuple[Floats, Floats, Floats],
    second: SecondChoices | None = None,
) -> SurveyRows:
    """Put the functions of a block together.

    Parameters
    ----------
    layout
        Which part is of which dataset.
    weights, values
        Factors of each dataset's weights and of each part's values.
    arrays
        The factors of agents, those of choices, and tables.
    second
        What datasets of second choices need; None where there are none.
    """
    parts = [[weights[d], values[p]] for p, d in enumerate(layout.datasets)]
    squares = [[*parts[p], values[q]] for p, q in layout.pairs]
    alone = [[weight] for weight in weights]
    of_parts = [int(d) for d in layout.datasets]
    of_squares = [of_parts[p] for p, _ in layout.pairs]
    every = list(range(len(weights)))
    return SurveyRows(
        functions=_functions([*parts, *alone], [*of_parts, *every], arrays, second),
        squares=_functions(squares, of_squares, arrays, second),
    )


def _functions(
    products: Sequence[Sequence[Split]],
    datasets: Sequence[int],
    arrays: tuple[Floats, Floats, Floats],
    second: SecondChoices | None,
) -> ChoiceFunctions:
    """Write products of arrays, each of a dataset's, as terms, each shape once."""
    agents, choices, tables = arrays
    shapes: dict[tuple[int, tuple[tuple[int, ...], ...]], int] = {}
    own_agents, own_shapes = [], []
    by_agent, by_choice = _covers(agents), _covers(choices)
    for product, d in zip(products, datasets, strict=True):
        own_agents.append(_terms([split.agent for split in product], by_agent))
        removal = NONE if second is None else int(second.removals[d])
        shape = removal, _shape(product, by_choice)
        own_shapes.append(shapes.setdefault(shape, len(shapes)))
    terms = [_rows(own) for own in zip(*[own for _, own in shapes], strict=True)]
    terms = terms or [_rows([])] * len(_shape([], by_choice))
    functions = ChoiceFunctions(
        agents=agents,
        choices=choices,
        tables=tables,
        agent_terms=_rows(own_agents),
        shapes=np.array(own_shapes, np.int64),
        choice_terms=terms[0],
        table_terms=terms[1],
    )
    if second is None:
        return functions
    return replace(
        functions,
        removals=np.array([removal for removal, _ in shapes], np.int64),
        groups=second.groups,
        second_choice_terms=terms[2],
        second_table_terms=terms[3],
        pairs=second.pairs,
        pair_terms=terms[4],
        triples=second.triples,
        triple_terms=terms[5],
    )


def _shape(
    product: Sequence[Split], covers: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> tuple[tuple[int, ...], ...]:
    """List a product's factors by kind, those of agents apart."""
    return (
        _terms([split.choice for split in product], covers),
        _terms([split.table for split in product], None),
        _terms([split.second_choice for split in product], covers),
        _terms([split.second_table for split in product], None),
        _terms([split.pair for split in product], None),
        _terms([split.triple for split in product], None),
    )


def _covers(factors: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Tell which factors are zero or one, and one wherever others are not zero."""
    nonzero = factors != 0
    binary = ((factors == 0) | (factors == 1)).all(axis=1)
    covers = np.zeros((len(factors), len(factors)), np.bool_)
    for place in np.flatnonzero(binary):
        covers[place] = ~(nonzero & ~nonzero[place]).any(axis=1)
    return covers


def _terms(
    found: Sequence[int],
    covers: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None,
) -> tuple[int, ...]:
    """List the factors of a product in order, without those that change nothing."""
    kept = sorted(place for place in found if place != NONE)
    place = 0
    while covers is not None and place < len(kept):
        others = kept[:place] + kept[place + 1 :]
        if any(covers[kept[place], other] for other in others):
            kept = others
        else:
            place += 1
    return tuple(kept)


def _rows(terms: Sequence[tuple[int, ...]]) -> Integers:
    """Fill lists of terms up, ``(·, 3)``."""
    filled = [(*own, *[NONE] * (TERMS - len(own))) for own in terms]
    return np.array(filled, np.int64).reshape(len(filled), TERMS)
