"""δ, ξ, c̃, ω and their parts in a step: what is as long as the data in its results.

Blocks give their rows one after another. Where the problem is in memory they are put in
the order of the user's rows; where it is at rest they are written to disk, in the order
of its markets, and never held whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..driver.engine import Placement
from ..model.linear_places import LinearPlaces
from ..moments.errors import BlockRows, ErrorState, RowState, rows_pass
from ..problem.prepared import PreparedDemand
from ..records import Floats
from ..results.rows_at_rest import Rows, write_rows

#: What results call the rows of each equation.
_NAMES: tuple[dict[str, str], ...] = (
    {
        "y": "delta",
        "u": "xi",
        "effects": "xi_fe",
        "u_by_theta": "xi_by_theta_jacobian",
    },
    {
        "y": "tilde_costs",
        "u": "omega",
        "effects": "omega_fe",
        "u_by_theta": "omega_by_theta_jacobian",
        "clipped": "clipped_costs",
    },
)


def bring_rows(
    problem: PreparedDemand,
    placement: Placement,
    places: LinearPlaces,
    errors: ErrorState,
    *,
    anchor: str,
    step: int,
) -> dict[str, Rows]:
    """Bring the rows of all blocks together, in memory or on disk, by their names.

    Parameters
    ----------
    problem, placement
        Whose rows, and where its blocks are.
    places
        Which of β and γ are in θ.
    errors
        β, γ and the absorbed levels.
    anchor
        Name of the evaluation that the blocks remember.
    step
        Number of the step, for the name of a directory.

    Returns
    -------
    dict
        ``delta``, ``xi``, ``xi_fe`` ``(N, 1)`` with δ = X1 β + ξ + ξ_fe, and
        ``xi_by_theta_jacobian`` ``(N, P)``, ∂ξ/∂θ given β, effects not absorbed; with a
        supply side the same of c̃ and ω, and ``clipped_costs``.
    """
    state = RowState(errors, places)
    blocks = placement.collect(rows_pass, state, anchor=anchor)
    columns = {
        name: places.size if field == "u_by_theta" else 1
        for names in _NAMES[: len(problem.moment_counts)]
        for field, name in names.items()
    }
    if problem.rows_at is None:
        return dict(_in_user_order(blocks, columns, problem.n_products))
    # Results of another estimation of the same problem stay as they are.
    directory = problem.rows_at / f"step-{step}-{uuid.uuid4().hex}"
    largest = int(problem.block_sizes.max())
    named = map(_by_name, blocks)
    return dict(write_rows(directory, named, columns, problem.n_products, largest))


def _by_name(block: BlockRows) -> dict[str, Any]:
    """Name the rows of all equations of a block."""
    return {
        name: getattr(rows, field)
        for rows, names in zip(block.equations, _NAMES, strict=False)
        for field, name in names.items()
    }


def _in_user_order(
    blocks: Iterator[BlockRows], columns: dict[str, int], n_rows: int
) -> dict[str, Floats]:
    """Put every block's rows where the user had them."""
    arrays: dict[str, Any] = {}
    for block in blocks:
        for name, values in _by_name(block).items():
            if name not in arrays:
                arrays[name] = np.empty((n_rows, columns[name]), values.dtype)
            arrays[name][block.rows] = values
    return arrays
