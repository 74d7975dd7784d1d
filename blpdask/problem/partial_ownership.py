"""How much a firm cares about another's profits, where owners hold shares of both.

Owner o holds the share β_of of firm f's profits and has control γ_of over what it does.
A firm that weighs what its owners get by how far they control it puts the weight

    κ_fg = Σ_o γ_of β_og / Σ_o γ_of β_of

on the profit of firm g, relative to its own (O'Brien and Salop 2000). Control that is
proportional to stakes is γ = β; a silent interest has γ = 0. The scale of a firm's γ
does not matter. A firm that nobody listed controls is run for itself: κ_fg = 1(f = g).

References
----------
O'Brien and Salop (2000), "Competitive Effects of Partial Ownership: Financial Interest
and Corporate Control"; Backus, Conlon and Sinkinson (2021), "Common Ownership in
America: 1980-2017".
"""

from __future__ import annotations

import numpy as np

from ..records import Floats


def profit_weights(stakes: Floats, control: Floats) -> Floats:
    """Compute κ of all pairs of firms, ``(F, F)``.

    Parameters
    ----------
    stakes, control
        ``(O, F)`` β and γ, a row an owner.

    Returns
    -------
    Floats
        A row not of finite numbers for a firm that those control who own none of it.

    Examples
    --------
    >>> profit_weights(np.array([[1.0, 0.25]]), np.array([[1.0, 0.0]]))
    array([[1.  , 0.25],
           [0.  , 1.  ]])
    """
    crossed = control.T @ stakes
    own = np.diagonal(crossed)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        shared = crossed / own
    listed = control.sum(axis=0)[:, None] > 0
    return np.where(listed, shared, np.eye(len(own)))
