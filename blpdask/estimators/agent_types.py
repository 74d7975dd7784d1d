"""Refuse shares of types that some markets have no agents of."""

from __future__ import annotations

import numpy as np

from ..driver.engine import Placement
from ..errors import Faults
from ..model.parameters import Parameters
from ..moments.agent_types import type_weights_pass
from ..problem.fields import some
from ..problem.prepared import PreparedDemand


def check_agent_types(
    problem: PreparedDemand, placement: Placement, parameters: Parameters
) -> None:
    """Check that every market has agents of every type whose share is not zero.

    Where types have no shares of their own there is nothing to check, nor any pass over
    the blocks.

    Raises
    ------
    InputError
        With each such type and its markets.
    """
    labels = parameters.type_labels
    if not labels:
        return
    found = placement.reduce(type_weights_pass, len(labels))
    faults = Faults("type_shares")
    for r, label in enumerate(labels):
        if parameters.start.type_shares[r, 0] == 0:
            continue
        lacking = np.flatnonzero(~(found.sums[:, r] > 0))
        if lacking.size:
            faults.add(
                f"{lacking.size} markets without agents of type '{label}', or with "
                f"weights that do not sum to more than zero "
                f"({some(problem.market_ids[lacking])})",
                "agents of every type in every market",
                "add such agents, or give the type a share of zero",
            )
    faults.check()
