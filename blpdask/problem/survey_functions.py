"""The functions of a block that surveys ask for, as products of factors.

Weights W_d of datasets and values v_p of parts are split into factors
(:mod:`.survey_factors`); functions are their products, in the order of
:class:`blpdask.moments.surveys.SurveyLayout`,

    W_d(p) v_p,   W_d;   and squares   W_d(p) v_p v_q.

A factor that is zero or one is left out beside one that is zero wherever it is: an
indicator is its own square, and prices need no indicator of a purchase.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..moments.surveys import SurveyLayout
from ..records import ChoiceFunctions, Floats, Integers, SurveyRows
from .survey_factors import NONE, Split

#: Factors of one kind that a function may have.
TERMS = 3


def survey_rows(
    layout: SurveyLayout,
    weights: Sequence[Split],
    values: Sequence[Split],
    arrays: tuple[Floats, Floats, Floats],
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
    """
    parts = [[weights[d], values[p]] for p, d in enumerate(layout.datasets)]
    squares = [[*parts[p], values[q]] for p, q in layout.pairs]
    alone = [[weight] for weight in weights]
    return SurveyRows(
        functions=_functions([*parts, *alone], arrays),
        squares=_functions(squares, arrays),
    )


def _functions(
    products: Sequence[Sequence[Split]], arrays: tuple[Floats, Floats, Floats]
) -> ChoiceFunctions:
    """Write products of arrays as terms, each shape once."""
    agents, choices, tables = arrays
    shapes: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    own_agents, own_shapes = [], []
    by_agent, by_choice = _covers(agents), _covers(choices)
    for product in products:
        own_agents.append(_terms([split.agent for split in product], by_agent))
        shape = (
            _terms([split.choice for split in product], by_choice),
            _terms([split.table for split in product], None),
        )
        own_shapes.append(shapes.setdefault(shape, len(shapes)))
    return ChoiceFunctions(
        agents=agents,
        choices=choices,
        tables=tables,
        agent_terms=_rows(own_agents),
        shapes=np.array(own_shapes, np.int64),
        choice_terms=_rows([choice for choice, _ in shapes]),
        table_terms=_rows([table for _, table in shapes]),
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
