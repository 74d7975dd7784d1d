"""Read saved results of people's choices as results of the model that they are of."""

from __future__ import annotations

from pathlib import Path

from ..model.latent_classes import LatentClasses
from ..model.nested_choices import NestedCoefficients
from ..results.choice_store import read_likelihood
from .choice_results import ChoiceResults


def read_choice_results(directory: str | Path) -> ChoiceResults:
    """Read results that :meth:`blpdask.ChoiceResults.save` wrote, whatever the model.

    Raises
    ------
    StoreError
        Where the directory holds none, or damaged ones.
    """
    coefficients = read_likelihood(directory)[0].coefficients
    if isinstance(coefficients, LatentClasses):
        from .latent_class_results import LatentClassResults

        return LatentClassResults.load(directory)
    if isinstance(coefficients, NestedCoefficients):
        from .nested_choice_results import NestedChoiceResults

        return NestedChoiceResults.load(directory)
    return ChoiceResults.load(directory)
