"""Weights of simulated agents whose types have given shares.

    w_i ← λ_r w_i / Σ_{i'∈r} w_i'

in every market, as :mod:`blpdask.model.agent_types` has it for a problem. Agents of a
simulation come out with these weights, so that a problem made of them needs no shares,
and one that is given the same shares has the same weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import Faults
from ..model.type_shares import read_type_shares
from ..problem.agents import TYPES
from ..problem.fields import factorize, some
from .draws import Columns


def mix_types(agents: Columns | None, given: Any, by_rule: bool) -> Columns | None:
    """Give agents the weights that shares of their types make.

    Parameters
    ----------
    agents
        ``market_ids``, ``type_ids``, ``weights``, …; matrices of one column each.
    given
        λ ``(R,)`` in the order of sorted ``type_ids``, or None to leave weights alone.
    by_rule
        Whether a rule builds nodes and weights.

    Raises
    ------
    InputError
        With every fault of the shares and of the types.
    """
    if given is None:
        return agents
    faults = Faults("type_shares")
    if agents is None or by_rule or TYPES not in agents:
        faults.add(
            "type_shares of agents without type_ids",
            f"nodes, weights and {TYPES} in agent_data",
            "give them there, in place of an integration, or leave type_shares out",
        )
        faults.check()
    assert agents is not None
    markets, ids = factorize(agents["market_ids"][:, 0])
    types, names = factorize(agents[TYPES][:, 0])
    labels = tuple(str(name) for name in names)
    shares = read_type_shares(faults, given, labels)
    if (types < 0).any():
        faults.add(f"missing {TYPES}", "a type for every agent", "fill them in")
    faults.check()
    groups, R = markets * len(labels) + types, len(labels)
    sums = np.bincount(groups, agents["weights"][:, 0], minlength=ids.size * R)
    lacking = ~(sums.reshape(-1, R) > 0) & (shares[:, 0] > 0)
    for r in np.flatnonzero(lacking.any(axis=0)):
        where = some(ids[lacking[:, r]])
        faults.add(
            f"markets without agents of type '{labels[r]}' ({where})",
            "agents of every type in every market",
            "add such agents, or give the type a share of zero",
        )
    faults.check()
    weights = shares[types] * agents["weights"] / sums[groups][:, None]
    return {**agents, "weights": weights}
