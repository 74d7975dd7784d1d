"""What micro moments compare, parts and datasets by number.

Functions of the user's are checked whenever they are called: f gives one number, ∂f/∂v
one a part.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import DataWarning, Faults
from ..moments.surveys import MicroTargets, SurveyLayout
from ..records import Floats
from .micro import MicroDataset, MicroMoment, MicroPart

#: Relative step of differences, and relative error of a gradient that is told of.
_STEP, _FAR = 1e-5, 1e-3


def make_targets(
    moments: Sequence[MicroMoment],
    parts: Sequence[MicroPart],
    datasets: Sequence[MicroDataset],
) -> MicroTargets:
    """Give parts and datasets their places.

    Parameters
    ----------
    moments, parts, datasets
        Each once; parts are known by their keys.
    """
    places = {part.key: p for p, part in enumerate(parts)}
    return MicroTargets(
        layout=SurveyLayout(
            datasets=np.array([datasets.index(p.dataset) for p in parts], np.int64),
            observations=np.array([d.observations for d in datasets], np.int64),
        ),
        values=np.array([moment.value for moment in moments]),
        parts=tuple(tuple(places[p.key] for p in m.parts) for m in moments),
        functions=tuple(_value_of(moment) for moment in moments),
        gradients=tuple(_gradient_of(moment) for moment in moments),
    )


def warn_of_gradients(
    moments: Sequence[MicroMoment], targets: MicroTargets, middles: Floats
) -> None:
    """Warn where a gradient of the user's is far from differences of its function.

    Parameters
    ----------
    moments, targets
        The moments.
    middles
        ``(PM,)`` amid the values that each part averages, where both are tried.
    """
    for m, moment in enumerate(moments):
        v = middles[list(targets.parts[m])]
        if moment.statistic is not None or not np.isfinite(v).all():
            continue
        try:
            given = targets.gradients[m](v)
            found = _differences(targets.functions[m], v)
        except ArithmeticError:
            continue
        far = float(np.abs(given - found).max())
        if far > _FAR * (np.abs(given).max() + np.abs(found).max()):
            warnings.warn(
                f"compute_gradient of the micro moment '{moment.name}' gives "
                f"{_listed(given)} where differences of compute_value give "
                f"{_listed(found)}, at v = {_listed(v)}; correct one of the two, since "
                "estimates and standard errors depend on both",
                DataWarning,
                stacklevel=2,
            )


def _differences(function: Callable[[Floats], float], v: Floats) -> Floats:
    """Differentiate a function centrally, ``(P,)``."""
    found = np.empty(v.size)
    for p in range(v.size):
        step = np.zeros(v.size)
        step[p] = _STEP * max(abs(float(v[p])), _STEP)
        rise = function(v + step) - function(v - step)
        found[p] = rise / (2 * step[p])
    return found


def _listed(values: Floats) -> str:
    """Write numbers."""
    return f"({', '.join(f'{value:.5g}' for value in values)})"


def _value_of(moment: MicroMoment) -> Callable[[Floats], float]:
    """Give f, checked each time that it is called where it is the user's."""
    function = moment.compute_value
    assert function is not None

    def value(v: Floats) -> float:
        found = np.asarray(function(v), dtype=np.float64).ravel()
        if found.size != 1:
            _refuse(moment, "compute_value", found.shape, "one number")
        return float(found[0])

    return value


def _gradient_of(moment: MicroMoment) -> Callable[[Floats], Floats]:
    """Give ∂f/∂v, checked each time that it is called."""
    function, size = moment.compute_gradient, len(moment.parts)
    assert function is not None

    def gradient(v: Floats) -> Floats:
        found = np.asarray(function(v), dtype=np.float64).ravel()
        if found.size != size:
            expected = f"{size} numbers, one a part"
            _refuse(moment, "compute_gradient", found.shape, expected)
        return found

    return gradient


def _refuse(
    moment: MicroMoment, name: str, shape: tuple[int, ...], expected: str
) -> None:
    """Raise the fault of a function of the user's."""
    faults = Faults("micro_moments")
    faults.add(
        f"{name} of the micro moment '{moment.name}' that gives {shape[0]} numbers",
        expected,
        f"correct {name}",
    )
    faults.check()
