"""Central finite differences: ∂f/∂θ_p ≈ (f(θ + e_p ε/2) - f(θ - e_p ε/2)) / ε."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..records import Floats


def central_differences(
    function: Callable[[Floats], Floats], theta: Floats, epsilon: float
) -> Floats:
    """Differentiate a vector-valued function, one column a parameter, ``(M, P)``.

    Examples
    --------
    >>> import numpy as np
    >>> central_differences(lambda x: x**2, np.array([1.0, 2.0]), 2**-20)
    array([[2., 0.],
           [0., 4.]])
    """
    columns = []
    for p in range(theta.size):
        shift = np.zeros_like(theta)
        shift[p] = epsilon / 2
        columns.append((function(theta + shift) - function(theta - shift)) / epsilon)
    return np.column_stack(columns)
