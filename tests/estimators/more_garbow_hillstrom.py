"""Nonlinear least-squares problems that the literature agrees are hard.

Each problem is a residual r(x), its Jacobian and its start; the sum of squares r'r at
its known minima is as published (J. J. Moré, B. S. Garbow and K. E. Hillstrom, 1981,
"Testing unconstrained optimization software", ACM TOMS 7, 17-41; the number of the
problem is theirs). Jacobians are written by hand and checked by finite differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class LeastSquaresProblem:
    """A residual with its Jacobian, a start, and the values of r'r at its minima.

    ``minima`` lists the values of r'r at the local minima that the literature knows or,
    where a valley leads to infinity, at its end; ``scales`` lists the multiples of the
    start to run from. Left out are ten times the start where no minimum is in reach:
    Beale (a valley to infinity), Kowalik-Osborne (another), and Powell's badly scaled
    problem (ten times the start is on a plateau where SciPy's ``lm`` fails too).
    """

    name: str
    start: tuple[float, ...]
    evaluate: Callable[[Floats], Pair]
    minima: tuple[float, ...]
    scales: tuple[float, ...] = (1.0, 10.0)


def _numbers(text: str) -> Floats:
    """Read numbers with blanks between them."""
    return np.array([float(word) for word in text.split()])


def rosenbrock(x: Floats) -> Pair:
    """Problem 1: a curved valley."""
    r = np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
    return r, np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])


def freudenstein_roth(x: Floats) -> Pair:
    """Problem 2: a root, and a local minimum with a large residual."""
    a, b = x
    r = np.array(
        [
            -13 + a + ((5 - b) * b - 2) * b,
            -29 + a + ((b + 1) * b - 14) * b,
        ]
    )
    return r, np.array([[1.0, 10 * b - 3 * b**2 - 2], [1.0, 3 * b**2 + 2 * b - 14]])


def powell_badly_scaled(x: Floats) -> Pair:
    """Problem 3: a root at (1.098e-5, 9.106)."""
    e = np.exp(-x)
    r = np.array([1e4 * x[0] * x[1] - 1, e[0] + e[1] - 1.0001])
    return r, np.array([[1e4 * x[1], 1e4 * x[0]], [-e[0], -e[1]]])


def brown_badly_scaled(x: Floats) -> Pair:
    """Problem 4: a root at (1e6, 2e-6)."""
    r = np.array([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])
    return r, np.array([[1.0, 0.0], [0.0, 1.0], [x[1], x[0]]])


def beale(x: Floats) -> Pair:
    """Problem 5: a root at (3, 1/2)."""
    y = np.array([1.5, 2.25, 2.625])
    i = np.arange(1, 4)
    r = y - x[0] * (1 - x[1] ** i)
    return r, np.column_stack([x[1] ** i - 1, x[0] * i * x[1] ** (i - 1)])


def jennrich_sampson(x: Floats) -> Pair:
    """Problem 6, m = 10: a large residual."""
    i = np.arange(1, 11)
    e = np.exp(np.outer(i, x))
    return 2 + 2 * i - e.sum(axis=1), -i[:, None] * e


def helical_valley(x: Floats) -> Pair:
    """Problem 7: an angle that winds."""
    square = x[0] ** 2 + x[1] ** 2
    angle = np.arctan(x[1] / x[0]) / (2 * np.pi) + (0.5 if x[0] < 0 else 0.0)
    root = np.sqrt(square)
    r = np.array([10 * (x[2] - 10 * angle), 10 * (root - 1), x[2]])
    turn = 100 / (2 * np.pi * square)
    jacobian = np.array(
        [
            [turn * x[1], -turn * x[0], 10.0],
            [10 * x[0] / root, 10 * x[1] / root, 0.0],
            [0.0, 0.0, 1.0],
        ]
    )
    return r, jacobian


BARD_Y = _numbers("14 18 22 25 29 32 35 39 37 58 73 96 134 210 439")


def bard(x: Floats) -> Pair:
    """Problem 8: a rational function; also a flat minimum at infinity."""
    u = np.arange(1.0, 16.0)
    v = 16 - u
    w = np.minimum(u, v)
    bottom = v * x[1] + w * x[2]
    slope = u / bottom**2
    r = BARD_Y / 100 - (x[0] + u / bottom)
    return r, np.column_stack([-np.ones(15), slope * v, slope * w])


GAUSSIAN_Y = _numbers("9 44 175 540 1295 2420 3521 3989 3521 2420 1295 540 175 44 9")


def gaussian(x: Floats) -> Pair:
    """Problem 9: a density, almost fitted."""
    t = (8 - np.arange(1, 16)) / 2
    e = np.exp(-x[1] * (t - x[2]) ** 2 / 2)
    bell = x[0] * e
    jacobian = np.column_stack(
        [e, -bell * (t - x[2]) ** 2 / 2, bell * x[1] * (t - x[2])]
    )
    return bell - GAUSSIAN_Y / 1e4, jacobian


MEYER_Y = _numbers(
    "34780 28610 23650 19630 16370 13720 11540 9744 8261 7030 6005 5147 4427 3820 "
    "3307 2872"
)


def meyer(x: Floats) -> Pair:
    """Problem 10: resistance of a thermistor; nearly collinear columns."""
    t = 45 + 5 * np.arange(1, 17)
    bottom = t + x[2]
    e = np.exp(x[1] / bottom)
    fit = x[0] * e
    jacobian = np.column_stack([e, fit / bottom, -fit * x[1] / bottom**2])
    return fit - MEYER_Y, jacobian


def box_three(x: Floats) -> Pair:
    """Problem 12, m = 10: a line of roots and an isolated one."""
    t = 0.1 * np.arange(1, 11)
    shape = np.exp(-t) - np.exp(-10 * t)
    a, b = np.exp(-t * x[0]), np.exp(-t * x[1])
    return a - b - x[2] * shape, np.column_stack([-t * a, t * b, -shape])


def powell_singular(x: Floats) -> Pair:
    """Problem 13: a root where the Jacobian is singular."""
    b, c = x[1] - 2 * x[2], x[0] - x[3]
    root5, root10 = np.sqrt(5), np.sqrt(10)
    r = np.array([x[0] + 10 * x[1], root5 * (x[2] - x[3]), b**2, root10 * c**2])
    jacobian = np.array(
        [
            [1.0, 10.0, 0.0, 0.0],
            [0.0, 0.0, root5, -root5],
            [0.0, 2 * b, -4 * b, 0.0],
            [2 * root10 * c, 0.0, 0.0, -2 * root10 * c],
        ]
    )
    return r, jacobian


def wood(x: Floats) -> Pair:
    """Problem 14: two joined valleys, with a saddle of value near 7.88."""
    root90, root10 = np.sqrt(90), np.sqrt(10)
    r = np.array(
        [
            10 * (x[1] - x[0] ** 2),
            1 - x[0],
            root90 * (x[3] - x[2] ** 2),
            1 - x[2],
            root10 * (x[1] + x[3] - 2),
            (x[1] - x[3]) / root10,
        ]
    )
    jacobian = np.zeros((6, 4))
    jacobian[0, :2] = -20 * x[0], 10
    jacobian[1, 0] = jacobian[3, 2] = -1
    jacobian[2, 2:] = -2 * root90 * x[2], root90
    jacobian[4, [1, 3]] = root10
    jacobian[5, [1, 3]] = 1 / root10, -1 / root10
    return r, jacobian


KOWALIK_Y = _numbers("1957 1947 1735 1600 844 627 456 342 323 235 246")
KOWALIK_U = _numbers("4 2 1 .5 .25 .167 .125 .1 .0833 .0714 .0625")


def kowalik_osborne(x: Floats) -> Pair:
    """Problem 15: enzyme kinetics; also a flat minimum at infinity."""
    u = KOWALIK_U
    top, bottom = u**2 + u * x[1], u**2 + u * x[2] + x[3]
    ratio = top / bottom
    jacobian = np.column_stack(
        [
            -ratio,
            -x[0] * u / bottom,
            x[0] * ratio * u / bottom,
            x[0] * ratio / bottom,
        ]
    )
    return KOWALIK_Y / 1e4 - x[0] * ratio, jacobian


def brown_dennis(x: Floats) -> Pair:
    """Problem 16, m = 20: a very large residual."""
    t = np.arange(1, 21) / 5
    a = x[0] + t * x[1] - np.exp(t)
    b = x[2] + x[3] * np.sin(t) - np.cos(t)
    jacobian = 2 * np.column_stack([a, t * a, b, b * np.sin(t)])
    return a**2 + b**2, jacobian


OSBORNE1_Y = _numbers(
    "844 908 932 936 925 908 881 850 818 784 751 718 685 658 628 603 580 558 538 522 "
    "506 490 478 467 457 448 438 431 424 420 414 411 406"
)


def osborne_one(x: Floats) -> Pair:
    """Problem 17: two exponentials that nearly cancel."""
    t = 10 * np.arange(33)
    a, b = np.exp(-t * x[3]), np.exp(-t * x[4])
    jacobian = -np.column_stack([np.ones(33), a, b, -t * x[1] * a, -t * x[2] * b])
    return OSBORNE1_Y / 1e3 - (x[0] + x[1] * a + x[2] * b), jacobian


def biggs_exp6(x: Floats) -> Pair:
    """Problem 18, m = 13: six parameters of three exponentials."""
    t = 0.1 * np.arange(1, 14)
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    a, b, c = np.exp(-t * x[0]), np.exp(-t * x[1]), np.exp(-t * x[4])
    jacobian = np.column_stack([-t * x[2] * a, t * x[3] * b, a, -b, -t * x[5] * c, c])
    return x[2] * a - x[3] * b + x[5] * c - y, jacobian


OSBORNE2_Y = _numbers(
    "1366 1191 1112 1013 991 885 831 847 786 725 746 679 608 655 616 606 602 626 651 "
    "724 649 649 694 644 624 661 612 558 533 495 500 423 395 375 372 391 396 405 428 "
    "429 523 562 607 653 672 708 633 668 645 632 591 559 597 625 739 710 729 720 636 "
    "581 428 292 162 98 54"
)


def osborne_two(x: Floats) -> Pair:
    """Problem 19: an exponential and three bells."""
    t = np.arange(65) / 10
    fit = x[0] * np.exp(-t * x[4])
    jacobian = np.empty((65, 11))
    jacobian[:, 0], jacobian[:, 4] = fit / x[0], -t * fit
    for k in range(1, 4):
        gap = t - x[k + 7]
        bell = np.exp(-(gap**2) * x[k + 4])
        fit = fit + x[k] * bell
        jacobian[:, k] = bell
        jacobian[:, k + 4] = -x[k] * gap**2 * bell
        jacobian[:, k + 7] = 2 * x[k] * x[k + 4] * gap * bell
    return OSBORNE2_Y / 1e3 - fit, -jacobian


def watson(x: Floats) -> Pair:
    """Problem 20: a polynomial that nearly solves an equation; ill conditioned."""
    t = np.arange(1, 30)[:, None] / 29
    j = np.arange(x.size)
    powers = t**j
    slopes = np.zeros_like(powers)
    slopes[:, 1:] = j[1:] * t ** (j[1:] - 1)
    level = powers @ x
    head = np.zeros((2, x.size))
    head[0, 0], head[1, :2] = 1, (-2 * x[0], 1)
    r = np.concatenate([slopes @ x - level**2 - 1, [x[0], x[1] - x[0] ** 2 - 1]])
    return r, np.vstack([slopes - 2 * level[:, None] * powers, head])


def penalty_one(x: Floats) -> Pair:
    """Problem 23: a sphere, with a slight pull to (1, …, 1)."""
    weight = np.sqrt(1e-5)
    r = np.append(weight * (x - 1), x @ x - 0.25)
    return r, np.vstack([weight * np.eye(x.size), 2 * x])


def variably_dimensioned(x: Floats) -> Pair:
    """Problem 25: one direction rises as a quartic."""
    i = np.arange(1.0, x.size + 1)
    total = i @ (x - 1)
    r = np.concatenate([x - 1, [total, total**2]])
    return r, np.vstack([np.eye(x.size), i, 2 * total * i])


def trigonometric(x: Floats) -> Pair:
    """Problem 26: many local minima."""
    n, i = x.size, np.arange(1, x.size + 1)
    sine, cosine = np.sin(x), np.cos(x)
    r = n - cosine.sum() + i * (1 - cosine) - sine
    return r, np.tile(sine, (n, 1)) + np.diag(i * sine - cosine)


def brown_almost_linear(x: Floats) -> Pair:
    """Problem 27: linear equations and one product."""
    n = x.size
    r = x + x.sum() - (n + 1)
    r[-1] = x.prod() - 1
    jacobian = np.eye(n) + 1
    jacobian[-1] = [np.delete(x, k).prod() for k in range(n)]
    return r, jacobian


def linear_full_rank(x: Floats) -> Pair:
    """Problem 32, m = 20: linear, with a residual."""
    m, n = 20, x.size
    jacobian = np.vstack([np.eye(n), np.zeros((m - n, n))]) - 2 / m
    return jacobian @ x - 1, jacobian


def linear_rank_one(x: Floats) -> Pair:
    """Problem 33, m = 20: linear, with one direction only."""
    jacobian = np.outer(np.arange(1.0, 21.0), np.arange(1.0, x.size + 1))
    return jacobian @ x - 1, jacobian


_PENALTY_START = tuple(float(i) for i in range(1, 11))
_DIMENSIONED_START = tuple(1 - i / 10 for i in range(1, 11))
_OSBORNE2_START = (1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5)
_OSBORNE2_FAR = 1.78981358688109

PROBLEMS = (
    LeastSquaresProblem("Rosenbrock", (-1.2, 1), rosenbrock, (0.0,), (1, 10, 100)),
    LeastSquaresProblem(
        "Freudenstein-Roth", (0.5, -2), freudenstein_roth, (0.0, 48.98425), (1, 10, 100)
    ),
    LeastSquaresProblem(
        "Powell badly scaled", (0, 1), powell_badly_scaled, (0.0,), (1,)
    ),
    LeastSquaresProblem("Brown badly scaled", (1, 1), brown_badly_scaled, (0.0,)),
    LeastSquaresProblem("Beale", (1, 1), beale, (0.0,), (1,)),
    LeastSquaresProblem(
        "Jennrich-Sampson", (0.3, 0.4), jennrich_sampson, (124.3622, 259.5802)
    ),
    LeastSquaresProblem(
        "helical valley", (-1, 0, 0), helical_valley, (0.0,), (1, 10, 100)
    ),
    LeastSquaresProblem("Bard", (1, 1, 1), bard, (8.214877e-3, 17.42869)),
    LeastSquaresProblem("Gaussian", (0.4, 1, 0), gaussian, (1.127933e-8,)),
    LeastSquaresProblem("Meyer", (0.02, 4000, 250), meyer, (87.94586,)),
    LeastSquaresProblem("Box 3D", (0, 10, 20), box_three, (0.0, 0.0755887)),
    LeastSquaresProblem(
        "Powell singular", (3, -1, 0, 1), powell_singular, (0.0,), (1, 10, 100)
    ),
    LeastSquaresProblem("Wood", (-3, -1, -3, -1), wood, (0.0,), (1, 10, 100)),
    LeastSquaresProblem(
        "Kowalik-Osborne",
        (0.25, 0.39, 0.415, 0.39),
        kowalik_osborne,
        (3.075056e-4,),
        (1,),
    ),
    LeastSquaresProblem(
        "Brown-Dennis", (25, 5, -5, -1), brown_dennis, (85822.20,), (1, 10, 100)
    ),
    LeastSquaresProblem(
        "Osborne 1", (0.5, 1.5, -1, 0.01, 0.02), osborne_one, (5.464895e-5,), (1,)
    ),
    LeastSquaresProblem(
        "Biggs EXP6", (1, 2, 1, 1, 1, 1), biggs_exp6, (0.0, 5.655650e-3), (1,)
    ),
    LeastSquaresProblem(
        "Osborne 2", _OSBORNE2_START, osborne_two, (4.013774e-2, _OSBORNE2_FAR)
    ),
    LeastSquaresProblem("Watson 6", (0,) * 6, watson, (2.287670e-3,), (1,)),
    LeastSquaresProblem("Watson 9", (0,) * 9, watson, (1.399760e-6,), (1,)),
    LeastSquaresProblem("Watson 12", (0,) * 12, watson, (4.722381e-10,), (1,)),
    LeastSquaresProblem("penalty I", _PENALTY_START, penalty_one, (7.087651e-5,)),
    LeastSquaresProblem(
        "variably dimensioned", _DIMENSIONED_START, variably_dimensioned, (0.0,)
    ),
    LeastSquaresProblem(
        "trigonometric", (0.1,) * 10, trigonometric, (0.0, 2.795061e-5), (1,)
    ),
    LeastSquaresProblem(
        "Brown almost linear", (0.5,) * 10, brown_almost_linear, (0.0, 1.0)
    ),
    LeastSquaresProblem("linear full rank", (1,) * 5, linear_full_rank, (15.0,)),
    LeastSquaresProblem("linear rank one", (1,) * 5, linear_rank_one, (190 / 41,)),
)
