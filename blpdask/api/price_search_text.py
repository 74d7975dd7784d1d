"""The table of what searched for prices, many times: seconds, draws, how it ended."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..records import Integers
from ..results.text_tables import Header, text_table


class PriceSearch(Protocol):
    """Counts of a search for prices, by market and draw."""

    computation_time: float
    draws: int
    fp_converged: NDArray[np.bool_]
    fp_iterations: Integers
    contraction_evaluations: Integers


def price_search_table(title: str, drawn: str, found: PriceSearch) -> str:
    """Print seconds and draws, and counts of the search where prices were sought.

    Parameters
    ----------
    title
        Of the table.
    drawn
        What draws are of.
    found
        The counts.
    """
    header: list[Header] = [("Computation", "Seconds"), (drawn, "Draws")]
    cells = [f"{found.computation_time:.3f}", str(found.draws)]
    if found.contraction_evaluations.any():
        header += [
            ("Fixed Point", "Failures"),
            ("Fixed Point", "Iterations"),
            ("Contraction", "Evaluations"),
        ]
        cells += [
            str(int((~found.fp_converged).sum())),
            str(int(found.fp_iterations.sum())),
            str(int(found.contraction_evaluations.sum())),
        ]
    return text_table(title, header, [cells])
