"""What a PyBLP script's absorb_method and absorb_options mean here.

PyBLP hands them to PyHDFE, whose five methods compute one and the same projection. The
package has one algorithm (see :mod:`blpdask.problem.absorption`); of a script's choices
it honours the tolerance and the iteration limit, accepts what only steers another
algorithm's way to the same answer, and refuses what it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import Faults

METHODS = ("within", "map", "lsmr", "sw", "dummy")
STEERING = (
    "transform",
    "acceleration",
    "acceleration_tol",
    "residual_tol",
    "condition_limit",
)


@dataclass(frozen=True, slots=True)
class AbsorptionControls:
    """When absorption stops.

    Attributes
    ----------
    tolerance
        Bound on the norm of the last correction, relative to each column's norm.
    max_iterations
        Conjugate gradient steps allowed.
    """

    tolerance: float = 1e-12
    max_iterations: int = 100_000


def read_absorption_options(
    method: str | None, options: Mapping[str, Any] | None, n_effects: int
) -> AbsorptionControls:
    """Read PyBLP's absorb_method and absorb_options.

    Parameters
    ----------
    method
        None, or PyHDFE's ``within``, ``map``, ``lsmr``, ``sw`` or ``dummy``.
    options
        PyHDFE's options; ``tol`` (or ``tolerance``) and ``iteration_limit`` (or
        ``max_iterations``) are honoured.
    n_effects
        Number of effects to absorb.

    Returns
    -------
    AbsorptionControls
        When to stop.

    Raises
    ------
    InputError
        If a method or an option is unknown, or does not suit the number of effects.

    Examples
    --------
    >>> read_absorption_options("lsmr", {"tol": 1e-14}, n_effects=2)
    AbsorptionControls(tolerance=1e-14, max_iterations=100000)
    """
    faults = Faults("absorb_method and absorb_options")
    _check_method(method, n_effects, faults)
    tolerance: Any = AbsorptionControls().tolerance
    limit: Any = AbsorptionControls().max_iterations
    for name, value in _items(options, faults):
        if name in ("tol", "tolerance"):
            tolerance = value
        elif name in ("iteration_limit", "max_iterations"):
            limit = value
        elif name not in STEERING:
            faults.add(
                f"the option '{name}'",
                f"tol, iteration_limit, or one of {', '.join(STEERING)}",
                "remove it; convergence is judged by the tolerance alone",
            )
    if not _is_number(tolerance) or not 0 < tolerance < 1:
        faults.add(
            f"the tolerance {tolerance!r}", "a number between 0 and 1", "set tol: 1e-12"
        )
    if not _is_number(limit) or limit < 1 or limit != int(limit):
        faults.add(
            f"the iteration limit {limit!r}",
            "a positive integer",
            "set iteration_limit: 100000",
        )
    faults.check()
    return AbsorptionControls(tolerance=float(tolerance), max_iterations=int(limit))


def _check_method(method: Any, n_effects: int, faults: Faults) -> None:
    """Check that PyHDFE has the method, and for this many effects."""
    if method is not None and method not in METHODS:
        faults.add(
            f"the method {method!r}",
            f"None or one of {', '.join(METHODS)}",
            "leave absorb_method out; every method gives the same answer",
        )
    only = {"within": 1, "sw": 2}.get(method, n_effects) if method else n_effects
    if n_effects and only != n_effects:
        faults.add(
            f"the method '{method}' for {n_effects} effects",
            f"it for {only}",
            "leave absorb_method out; the algorithm takes any number of effects",
        )


def _items(options: Any, faults: Faults) -> list[tuple[str, Any]]:
    """List the options, if they are a mapping."""
    if options is None:
        return []
    if not isinstance(options, Mapping):
        faults.add(f"options {options!r}", "None or a dictionary", "pass a dictionary")
        return []
    return [(str(name), value) for name, value in options.items()]


def _is_number(value: Any) -> bool:
    """Tell a real number from everything else."""
    return isinstance(value, int | float) and not isinstance(value, bool)
