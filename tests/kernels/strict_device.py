"""A stand-in for CuPy that runs on a CPU and is stricter than a GPU.

Its arrays refuse every silent way to the host (``np.asarray``, ``np.exp``, ``if``,
iteration over elements) and every NumPy array as an operand; only ``asnumpy`` brings
them back, and it is counted. Only functions that CuPy has too are offered, and the
linear algebra fails as CuPy's does: without an exception, leaving numbers that mean
nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

OFFERED = {
    *("abs", "arange", "concatenate", "exp", "expm1", "eye", "full"),
    *("isfinite", "isinf", "log", "log1p", "maximum", "minimum", "ones"),
    *("sqrt", "stack", "where", "zeros"),
}


class DeviceArray:
    """An array that lives on the pretended device."""

    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, held: Any) -> None:
        self.held = np.asarray(held)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("implicit conversion of a device array to NumPy")

    def __bool__(self) -> bool:
        raise TypeError("truth of a device array waits for the device")

    def __iter__(self) -> Any:
        raise TypeError("iteration over a device array")

    def __getitem__(self, key: Any) -> DeviceArray:
        return DeviceArray(self.held[down(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.held[down(key)] = down(value)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.held, name)
        if name in {"shape", "size", "ndim", "dtype"}:
            return found
        if callable(found):
            return lambda *args, **options: up(found(*args, **options))
        return up(found)

    def __abs__(self) -> DeviceArray:
        return DeviceArray(abs(self.held))

    def __neg__(self) -> DeviceArray:
        return DeviceArray(-self.held)

    def __invert__(self) -> DeviceArray:
        return DeviceArray(~self.held)


def down(value: Any) -> Any:
    """Unwrap device arrays; refuse host arrays."""
    if isinstance(value, DeviceArray):
        return value.held
    if isinstance(value, tuple | list):
        return type(value)(down(one) for one in value)
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array among device arrays")
    return value


def up(value: Any) -> Any:
    """Wrap NumPy results."""
    return DeviceArray(value) if isinstance(value, np.ndarray | np.generic) else value


def _binary(name: str) -> Any:
    """Make one operator, in place where its name says so."""

    def operate(self: DeviceArray, other: Any) -> DeviceArray:
        return DeviceArray(getattr(self.held, name)(down(other)))

    return operate


_OPERATORS = ["add", "sub", "mul", "truediv", "matmul", "and", "or"]
for _operator in _OPERATORS:
    for _prefix in ("", "r", "i"):
        _name = f"__{_prefix}{_operator}__"
        setattr(DeviceArray, _name, _binary(_name))
for _operator in ["eq", "ne", "lt", "le", "gt", "ge"]:
    setattr(DeviceArray, f"__{_operator}__", _binary(f"__{_operator}__"))


class Linalg:
    """Batched linear algebra that never raises."""

    def solve(self, A: DeviceArray, right: DeviceArray) -> DeviceArray:
        assert A.ndim == right.ndim
        answers = np.empty(right.shape)
        for b in range(A.shape[0]):
            try:
                answers[b] = np.linalg.solve(A.held[b], right.held[b])
            except np.linalg.LinAlgError:
                answers[b] = np.inf
        return DeviceArray(answers)

    def cholesky(self, A: DeviceArray) -> DeviceArray:
        """Factor; where a pivot is not positive, leave the rest of A as it is."""
        factors = np.tril(A.held)
        for b in range(A.shape[0]):
            for size in range(A.shape[1], 0, -1):
                try:
                    block = np.linalg.cholesky(A.held[b, :size, :size])
                except np.linalg.LinAlgError:
                    continue
                factors[b, :size, :size] = block
                break
        return DeviceArray(factors)


class StrictDevice:
    """The namespace, used as ``xp``; ``transfers`` counts copies to the host."""

    inf, nan = np.inf, np.nan

    def __init__(self) -> None:
        self.linalg = Linalg()
        self.transfers = 0

    def __getattr__(self, name: str) -> Any:
        if name not in OFFERED:
            raise AttributeError(f"the device offers no {name}")
        function = getattr(np, name)

        def call(*args: Any, **options: Any) -> Any:
            unwrapped = {key: down(option) for key, option in options.items()}
            return up(function(*(down(arg) for arg in args), **unwrapped))

        return call

    def asarray(self, values: Any) -> DeviceArray:
        return values if isinstance(values, DeviceArray) else DeviceArray(values)

    def array(self, values: Any) -> DeviceArray:
        return DeviceArray(np.array(self.asarray(values).held))

    def asnumpy(self, values: DeviceArray) -> Any:
        self.transfers += 1
        return values.held.copy()
