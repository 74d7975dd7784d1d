"""Sums of products of rows, sixteen at a time.

    sums_jk += Σ_i x_ji y_ki

for four rows x and four rows y at once, so that a number that was read from cache is
used four times. Counts of rows are multiples of four; rows beyond those that are wanted
may hold any numbers.
"""

from __future__ import annotations

from .loop_compiler import exact, reorder


@exact
def in_fours(n):
    """Round a count up to fours."""
    return 4 * ((n + 3) // 4)


@exact
def add_products(rows, others, n, sums):
    """Add products of ``rows`` and ``others``, their first n numbers, to ``sums``."""
    for j in range(0, rows.shape[0], 4):
        add_products_of_four(rows[j : j + 4], others, n, sums[j : j + 4])


@reorder
def add_products_of_four(rows, others, n, sums):
    """Add products of four ``rows`` and all ``others`` to four rows of ``sums``."""
    x0, x1, x2, x3 = rows[0], rows[1], rows[2], rows[3]
    for k in range(0, others.shape[0], 4):
        y0, y1, y2, y3 = others[k], others[k + 1], others[k + 2], others[k + 3]
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0.0
        c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = 0.0
        for i in range(n):
            a0 += x0[i] * y0[i]
            a1 += x0[i] * y1[i]
            a2 += x0[i] * y2[i]
            a3 += x0[i] * y3[i]
            b0 += x1[i] * y0[i]
            b1 += x1[i] * y1[i]
            b2 += x1[i] * y2[i]
            b3 += x1[i] * y3[i]
            c0 += x2[i] * y0[i]
            c1 += x2[i] * y1[i]
            c2 += x2[i] * y2[i]
            c3 += x2[i] * y3[i]
            d0 += x3[i] * y0[i]
            d1 += x3[i] * y1[i]
            d2 += x3[i] * y2[i]
            d3 += x3[i] * y3[i]
        add_four(sums[0], k, a0, a1, a2, a3)
        add_four(sums[1], k, b0, b1, b2, b3)
        add_four(sums[2], k, c0, c1, c2, c3)
        add_four(sums[3], k, d0, d1, d2, d3)


@reorder
def add_four(sums, k, a, b, c, d):
    """Add four numbers from place k on."""
    sums[k] += a
    sums[k + 1] += b
    sums[k + 2] += c
    sums[k + 3] += d
