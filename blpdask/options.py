"""Options of the whole package, under PyBLP's names, for scripts that set them.

Every public call reads them once into a frozen record, so that a computation under way,
here or on a worker, does not change when they do.

Attributes
----------
digits
    Digits of numbers in printed tables.
verbose, verbose_output
    Whether progress is printed, and by which function.
verbose_tracebacks, flush_output
    Kept for PyBLP scripts; messages here are always whole.
dtype
    Kept for PyBLP scripts; computations are in float64.
finite_differences_epsilon
    Absolute step of finite differences.
pseudo_inverses
    Kept for PyBLP scripts; singular matrices are pseudo-inverted, with a warning.
weights_tol
    Distance from one of a market's integration weights before a warning.
singular_tol
    Kept for PyBLP scripts; a matrix that is singular to working precision warns.
collinear_atol, collinear_rtol
    Tolerances of the collinearity check; zeros turn it off.
psd_atol, psd_rtol
    Tolerances of the check that a weighting matrix is positive semi-definite.
stable_atol, stable_rtol
    Kept for PyBLP scripts; errors are simulated only where phi lets them be stationary.
detect_micro_collinearity
    Whether values of micro parts of one dataset, where its weights are positive, are
    checked for collinearity with those tolerances, once a solve.
micro_computation_chunks
    Into how many parts the agents of a market are cut for functions of micro datasets
    and parts, to bound memory; one number, or a dictionary of numbers by market ID.
    What is found is the same.
micro_bytes
    Bound on weights and values of second choices, of agents and of both choices, that
    are no products of functions of fewer, over all of them; of data in a store, over
    those of a block.
scratch_bytes
    Bound on exponentiated utilities held at once, for one market (backend "numba") or
    one batch of markets (other backends); beyond it they are computed again.
"""

from typing import Any as _Any

import numpy as _np

digits = 7
verbose = True
verbose_tracebacks = False
verbose_output = print
flush_output = False
dtype = _np.float64
finite_differences_epsilon = float(_np.sqrt(_np.finfo(_np.float64).eps))
pseudo_inverses = True
weights_tol = 1e-10
singular_tol = float(1 / _np.finfo(_np.float64).eps)
collinear_atol = collinear_rtol = 1e-10
psd_atol = psd_rtol = 1e-8
stable_atol = stable_rtol = 1e-8
detect_micro_collinearity = False
micro_computation_chunks: "int | dict[_Any, int]" = 1
micro_bytes = 2**30
drop_product_fields = False
scratch_bytes = 64 * 2**20
