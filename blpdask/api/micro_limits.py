"""What options say of how much functions of surveys may need at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .. import options
from ..errors import Faults
from ..problem.survey_arrays import SurveyLimits
from .micro_arguments import is_whole


def read_limits() -> SurveyLimits:
    """Read options of functions of surveys.

    Those are ``micro_computation_chunks``, ``micro_bytes`` and, where collinearity is
    to be told of at all, ``detect_micro_collinearity``.

    Raises
    ------
    InputError
        Where they are no such numbers.
    """
    faults = Faults("options")
    chunks, most = options.micro_computation_chunks, options.micro_bytes
    given = list(chunks.values()) if isinstance(chunks, Mapping) else [chunks]
    if not all(is_whole(number, 1) for number in given):
        faults.add(
            f"options.micro_computation_chunks = {chunks!r}",
            "a whole number, at least 1, or a dictionary of them by market ID",
            "say into how many parts the agents of a market are cut",
        )
    number = isinstance(most, int | float | np.number) and not isinstance(most, bool)
    if not number or not most >= 0:
        faults.add(
            f"options.micro_bytes = {most!r}", "a number of bytes", "pass say 2**30"
        )
    faults.check()
    told = max(options.collinear_atol, options.collinear_rtol) > 0
    return SurveyLimits(
        chunks=chunks,
        whole_bytes=most,
        factored=told and bool(options.detect_micro_collinearity),
    )
