"""Matrices of markets, stacked: one row a product, NaN beyond a market's own products.

Kernels lay the J_t by J_t matrices of markets side by side, row-major, in one array of
F = Σ_t J_t² numbers. Users get them stacked, N by max J; what is done with them goes by
all markets of one size at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..records import Floats, Integers

#: Numbers that are moved at a time: what stays in a core's cache.
SOME = 2**16


def stack_matrices(values: Floats, offsets: Integers) -> Floats:
    """Stack matrices ``(F, …)`` of markets, NaN-padded to ``(N, max J, …)``.

    Parameters
    ----------
    values
        Of each market row-major, market after market.
    offsets
        ``(T + 1,)`` first row of each market, then N.

    Examples
    --------
    >>> stack_matrices(np.arange(5.0), np.array([0, 1, 3]))
    array([[ 0., nan],
           [ 1.,  2.],
           [ 3.,  4.]])
    """
    sizes = np.diff(offsets)
    largest, N = int(sizes.max()), int(offsets[-1])
    if (sizes == largest).all():
        return values.reshape(N, largest, *values.shape[1:])
    found = np.full((N, largest, *values.shape[1:]), np.nan)
    found[_inside(offsets)] = values
    return found


def pad_rows(values: Floats, sizes: Integers) -> Floats:
    """Give each market a row of its values, NaN-padded to ``(T, max size)``.

    Examples
    --------
    >>> pad_rows(np.arange(3.0), np.array([1, 2]))
    array([[ 0., nan],
           [ 1.,  2.]])
    """
    found = np.full((sizes.size, int(sizes.max())), np.nan)
    found[np.arange(sizes.max()) < sizes[:, None]] = values
    return found


def scale_stacked(
    stacked: Floats, offsets: Integers, *, rows: Floats, columns: Floats
) -> None:
    """Multiply entries [j, k] by ``rows`` j and ``columns`` k ``(N,)``, in place.

    Examples
    --------
    >>> stacked = stack_matrices(np.ones(5), np.array([0, 1, 3]))
    >>> ten = np.full(3, 10.0)
    >>> scale_stacked(
    ...     stacked, np.array([0, 1, 3]), rows=ten, columns=np.array([5.0, 6.0, 7.0])
    ... )
    >>> stacked
    array([[50., nan],
           [60., 70.],
           [60., 70.]])
    """
    sizes = np.diff(offsets)
    largest = int(sizes.max())
    if (sizes == largest).all():
        cubes = stacked.reshape(-1, largest, largest)
        of_rows = rows.reshape(-1, largest, 1)
        of_columns = columns.reshape(-1, 1, largest)
        for some in _some_at_a_time(cubes):
            cubes[some] *= of_columns[some]
            cubes[some] *= of_rows[some]
        return
    stacked *= np.repeat(pad_rows(columns, sizes), sizes, axis=0)
    stacked *= rows[:, None]


def diagonals_of(stacked: Floats, offsets: Integers) -> Floats:
    """Give diagonals of stacked matrices ``(N, max J)``, ``(N,)``."""
    N = int(offsets[-1])
    return np.asarray(stacked[np.arange(N), place_in_market(offsets)])


def place_in_market(offsets: Integers) -> Integers:
    """Count the rows of its market before each row, ``(N,)``."""
    starts = np.repeat(offsets[:-1], np.diff(offsets))
    return np.asarray(np.arange(int(offsets[-1])) - starts, np.int64)


def of_each_size(
    values: Floats, offsets: Integers
) -> Iterator[tuple[Integers, Integers, Floats]]:
    """Yield matrices by size: markets ``(B,)``, places ``(B, J, J)``, their values.

    Parameters
    ----------
    values
        ``(F,)`` of each market row-major, market after market.
    offsets
        ``(T + 1,)``.
    """
    sizes = np.diff(offsets)
    starts = np.concatenate([[0], np.cumsum(sizes**2)])
    for size in np.unique(sizes):
        markets = np.flatnonzero(sizes == size)
        places = starts[markets][:, None, None]
        places = places + np.arange(size**2).reshape(size, size)
        yield markets, places, values[places]


def transpose_matrices(values: Floats, offsets: Integers) -> None:
    """Transpose each market's matrix, ``(F,)``, in place.

    Examples
    --------
    >>> values = np.arange(5.0)
    >>> transpose_matrices(values, np.array([0, 1, 3]))
    >>> values.tolist()
    [0.0, 1.0, 3.0, 2.0, 4.0]
    """
    sizes = np.diff(offsets)
    J = int(sizes[0])
    if not (sizes == J).all():
        for _, places, matrices in of_each_size(values, offsets):
            values[places] = matrices.swapaxes(1, 2)
        return
    cubes = values.reshape(-1, J, J)
    for some in _some_at_a_time(cubes):
        cubes[some] = cubes[some].swapaxes(1, 2).copy()


def row_sums(values: Floats, offsets: Integers) -> Floats:
    """Add up the rows of each market's matrix, ``(N,)``.

    Examples
    --------
    >>> row_sums(np.arange(5.0), np.array([0, 1, 3])).tolist()
    [0.0, 3.0, 7.0]
    """
    widths = np.repeat(np.diff(offsets), np.diff(offsets))
    found: Floats = np.add.reduceat(values, np.cumsum(widths) - widths)
    return found


def _some_at_a_time(cubes: Floats) -> Iterator[slice]:
    """Yield places of about :data:`SOME` numbers of matrices ``(T, J, J)``."""
    step = max(1, SOME // cubes[0].size)
    for first in range(0, len(cubes), step):
        yield slice(first, first + step)


def _inside(offsets: Integers) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Tell which places of stacked rows are of the market, ``(N, max J)``."""
    sizes = np.diff(offsets)
    return np.asarray(np.arange(sizes.max()) < np.repeat(sizes, sizes)[:, None])
