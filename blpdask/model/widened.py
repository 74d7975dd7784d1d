"""θ with every linear parameter in it, where none can be concentrated out.

The stack ψ of an objective in which β and γ are not the solution of linear equations:
the entries of θ with those that are otherwise concentrated out, in the order of
:mod:`blpdask.model.parameters` (Σ, Π, ρ, β, γ).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..records import Floats, Integers
from .parameters import LINEAR, Entry, Matrices, Parameters


@dataclass(frozen=True, slots=True, eq=False)
class Widened:
    """A layout of ψ, and where the parts of the narrow layout are in it.

    Attributes
    ----------
    parameters
        The layout, with nothing concentrated out.
    theta, concentrated
        ``(P,)`` and ``(C,)`` places of θ and of what is concentrated out, β before γ.
    """

    parameters: Parameters
    theta: Integers
    concentrated: Integers

    def stack(self, theta: Floats, b: Floats) -> Floats:
        """Stack θ ``(P,)`` and concentrated parameters ``(C,)`` to ψ."""
        psi = np.empty(self.theta.size + self.concentrated.size)
        psi[self.theta] = theta
        psi[self.concentrated] = b
        return psi


def widen(parameters: Parameters, b: Floats) -> Widened:
    """Put what is concentrated out into θ, unbounded.

    Parameters
    ----------
    parameters
        A layout.
    b
        ``(K1 + K3, 1)`` values of β and γ to start from.
    """
    K1 = parameters.start.beta.shape[0]
    values: dict[str, Floats] = {"beta": b[:K1], "gamma": b[K1:]}
    out = [
        Entry(name, int(row), 0)
        for name in LINEAR
        for row in np.flatnonzero(np.isnan(getattr(parameters.start, name)[:, 0]))
    ]
    free = [entry for entry in parameters.free if entry.matrix not in LINEAR]
    for name in LINEAR:
        own = [e for e in (*parameters.free, *out) if e.matrix == name]
        free += sorted(own, key=lambda entry: entry.row)
    wide = replace(
        parameters,
        start=_filled(parameters.start, values),
        lower=_filled(parameters.lower, {n: np.array(-np.inf) for n in LINEAR}, out),
        upper=_filled(parameters.upper, {n: np.array(np.inf) for n in LINEAR}, out),
        free=tuple(free),
    )
    places = {entry: place for place, entry in enumerate(free)}
    return Widened(
        wide,
        np.array([places[entry] for entry in parameters.free], np.int64),
        np.array([places[entry] for entry in out], np.int64),
    )


def _filled(
    matrices: Matrices,
    values: dict[str, Floats],
    entries: list[Entry] | None = None,
) -> Matrices:
    """Put values into some entries of β and γ, or where they are NaN."""
    changed = {}
    for name in LINEAR:
        matrix = getattr(matrices, name).copy()
        where = np.isnan(matrix)
        if entries is not None:
            where = np.zeros(matrix.shape, np.bool_)
            where[[e.row for e in entries if e.matrix == name]] = True
        changed[name] = np.where(where, values[name], matrix)
    return replace(matrices, **changed)
