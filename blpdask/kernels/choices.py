"""Kernels of choices by name of a backend; compiled when they are first used."""

from __future__ import annotations

from ..choice_records import ChoiceBlock, MixedTastes
from ..errors import Faults
from ..records import Floats


def choice_probabilities(
    block: ChoiceBlock, tastes: MixedTastes, *, backend: str, derivatives: bool = True
) -> tuple[Floats, Floats]:
    """Compute log P_i and ∂log P_i/∂θ of a block's people.

    Parameters
    ----------
    block, tastes
        Choices of people, and θ.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    derivatives
        Whether derivatives are wanted.

    Returns
    -------
    tuple of array
        ``(I,)``, and ``(I, P)`` or ``(I, 0)``; weights of people are in neither.

    Raises
    ------
    InputError
        Where a block has other columns than θ.
    """
    _check_columns(block, tastes)
    if backend == "numba":
        from .loop_choices import choice_probabilities

        return choice_probabilities(block, tastes, derivatives=derivatives)
    from .array_choices import array_choices

    kernels = array_choices(backend)
    return kernels.choice_probabilities(block, tastes, derivatives=derivatives)


def _check_columns(block: ChoiceBlock, tastes: MixedTastes) -> None:
    """Check that X and draws have the columns that θ has coefficients for."""
    faults = Faults("choices")
    for name, found, expected in (
        ("characteristics", block.X.shape[1], tastes.b.size),
        ("draws", block.draws.shape[2], tastes.loadings.shape[1]),
    ):
        if found != expected:
            faults.add(
                found=f"{found} columns of {name}",
                expected=f"{expected}, one for each coefficient that uses them",
                remedy="let the data and the kinds of coefficients agree",
            )
    faults.check()
