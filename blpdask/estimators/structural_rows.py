"""δ, ξ, ξ_fe and ∂ξ/∂θ of a step: what is as long as the data in its results.

Blocks give their rows one after another. Where the problem is in memory they are put in
the order of the user's rows; where it is at rest they are written to disk, in the order
of its markets, and never held whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..driver.engine import Placement
from ..model.parameters import Parameters
from ..moments.errors import BlockRows, ErrorState, RowState, rows_pass
from ..problem.prepared import PreparedDemand
from ..records import Floats
from ..results.rows_at_rest import Rows, write_rows

_NAMES = ("delta", "xi", "xi_fe", "xi_by_theta")


@dataclass(frozen=True, slots=True, eq=False)
class StructuralRows:
    """δ and its parts.

    Attributes
    ----------
    delta, xi, xi_fe
        ``(N, 1)`` with δ = X1 β + ξ + ξ_fe.
    xi_by_theta
        ``(N, P)`` ∂ξ/∂θ given β, effects not absorbed.
    """

    delta: Rows
    xi: Rows
    xi_fe: Rows
    xi_by_theta: Rows


def bring_rows(
    problem: PreparedDemand,
    placement: Placement,
    parameters: Parameters,
    errors: ErrorState,
    *,
    anchor: str,
    step: int,
) -> StructuralRows:
    """Bring the rows of all blocks together, in memory or on disk.

    Parameters
    ----------
    problem, placement
        Whose rows, and where its blocks are.
    parameters
        Which of β are in θ.
    errors
        β and the absorbed levels.
    anchor
        Name of the evaluation that the blocks remember.
    step
        Number of the step, for the name of a directory.
    """
    in_theta = [entry.row for entry in parameters.free if entry.matrix == "beta"]
    state = RowState(errors, np.array(in_theta, np.int64))
    blocks = placement.collect(rows_pass, state, anchor=anchor)
    columns = dict(zip(_NAMES, (1, 1, 1, parameters.size), strict=True))
    if problem.rows_at is None:
        return StructuralRows(**_in_user_order(blocks, columns, problem.n_products))
    # Results of another estimation of the same problem stay as they are.
    directory = problem.rows_at / f"step-{step}-{uuid.uuid4().hex}"
    largest = int(problem.block_sizes.max())
    named = map(_by_name, blocks)
    written = write_rows(directory, named, columns, problem.n_products, largest)
    return StructuralRows(**written)


def _by_name(block: BlockRows) -> dict[str, Floats]:
    return {name: getattr(block, name) for name in _NAMES}


def _in_user_order(
    blocks: Iterator[BlockRows], columns: dict[str, int], n_rows: int
) -> dict[str, Floats]:
    """Put every block's rows where the user had them."""
    arrays = {name: np.empty((n_rows, k)) for name, k in columns.items()}
    for block in blocks:
        for name, array in arrays.items():
            array[block.rows] = getattr(block, name)
    return arrays
