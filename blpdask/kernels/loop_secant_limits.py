"""How far prices that a fixed-point iteration tries next may be trusted.

Limits of the secant steps that :mod:`blpdask.model.price_acceleration` takes in all
markets of a block at once, and :mod:`blpdask.kernels.loop_secants` in one.
"""

from __future__ import annotations

#: Columns of ΔF and ΔG.
DEPTH = 3
#: How much larger than the smallest so far f may be.
GROWTH = 2.0
#: How many times as long as f a correction may be.
BOLDNESS = 10.0
#: Evaluations after which a market starts again, plainly.
TRIALS = 64
#: Plain steps after the first time that a market goes back; doubled each time.
PATIENCE = 2
#: What is added to the diagonal of ΔF'ΔF, its columns at length one.
RIDGE = 1e-13
