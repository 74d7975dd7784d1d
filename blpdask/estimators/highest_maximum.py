"""Search a likelihood from several starts, and keep the highest maximum."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from ..choice_records import LikelihoodEstimates
from ..errors import NumericalError, NumericalWarning
from ..records import Floats
from .likelihood_model import LikelihoodModel
from .simulated_likelihood import maximise_likelihood


def highest_maximum(
    source: Any, model: LikelihoodModel, starts: Sequence[Floats], **search: Any
) -> LikelihoodEstimates:
    """Maximise from each start, and give the estimates of the highest likelihood.

    Parameters
    ----------
    source, model, search
        As of :func:`blpdask.estimators.simulated_likelihood.maximise_likelihood`.
    starts
        Values of θ ``(P,)``.

    Raises
    ------
    NumericalError
        Where likelihoods are not finite from any start.

    Warns
    -----
    NumericalWarning
        Where the highest is no maximum; of others nothing is said.
    """
    found: list[LikelihoodEstimates] = []
    errors: list[NumericalError] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        for start in starts:
            try:
                found.append(maximise_likelihood(source, model, start, **search))
            except NumericalError as error:
                errors.append(error)
    if not found:
        raise errors[0]
    best = max(found, key=lambda one: one.log_likelihood)
    if not best.converged:
        warnings.warn(best.message, NumericalWarning, stacklevel=3)
    return best
