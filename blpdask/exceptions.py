"""Errors under the names that scripts written for PyBLP catch.

An ``except`` clause that names one of PyBLP's classes catches here what happens in its
place: a numerical failure, wherever it was, is a
:class:`~blpdask.errors.NumericalError`, whose message says where; inputs are refused by
:class:`~blpdask.errors.InputError`, which is a ``ValueError`` as PyBLP's refusals are.

Examples
--------
>>> from blpdask import exceptions
>>> exceptions.MultipleErrors is exceptions.BlpdaskError
True
>>> exceptions.DeltaConvergenceError is exceptions.NumericalError
True
"""

from __future__ import annotations

from typing import Any

from .errors import (
    BlpdaskError,
    DataWarning,
    Fault,
    Faults,
    InputError,
    NumericalError,
    NumericalWarning,
    StoreError,
)

Error = MultipleErrors = BlpdaskError

__all__ = [
    "BlpdaskError",
    "DataWarning",
    "Error",
    "Fault",
    "Faults",
    "InputError",
    "MultipleErrors",
    "NumericalError",
    "NumericalWarning",
    "StoreError",
]

#: PyBLP's classes of numerical failures, each of which is one class here.
_NUMERICAL = frozenset(
    {
        "AbsorptionError",
        "ClippedSharesError",
        "CostsNumericalError",
        "CostsReversionError",
        "DeltaConvergenceError",
        "DeltaNumericalError",
        "DeltaReversionError",
        "DerivedError",
        "EquilibriumPricesConvergenceError",
        "EquilibriumRealizationNumericalError",
        "FittedValuesInversionError",
        "GMMMomentCovariancesInversionError",
        "GMMParameterCovariancesInversionError",
        "GenericNumericalError",
        "GradientReversionError",
        "HessianEigenvaluesError",
        "IntraFirmJacobianInversionError",
        "InvalidMomentCovariancesError",
        "InvalidParameterCovariancesError",
        "InversionError",
        "InversionReplacementError",
        "JacobianRealizationNumericalError",
        "LinearParameterCovariancesInversionError",
        "MicroMomentCovariancesNumericalError",
        "MicroMomentsByThetaJacobianNumericalError",
        "MicroMomentsByThetaJacobianReversionError",
        "MicroMomentsNumericalError",
        "MicroMomentsReversionError",
        "MicroScoresNumericalError",
        "MultipleReversionError",
        "NonpositiveCostsError",
        "NonpositiveSyntheticCostsError",
        "ObjectiveReversionError",
        "OmegaByThetaJacobianNumericalError",
        "OmegaByThetaJacobianReversionError",
        "PassthroughInversionError",
        "PostEstimationNumericalError",
        "ProfitHessianEigenvaluesError",
        "SharesByXiJacobianInversionError",
        "SyntheticCostsNumericalError",
        "SyntheticDeltaConvergenceError",
        "SyntheticDeltaNumericalError",
        "SyntheticMicroDataNumericalError",
        "SyntheticMicroMomentsNumericalError",
        "SyntheticPricesConvergenceError",
        "SyntheticPricesNumericalError",
        "SyntheticSharesNumericalError",
        "ThetaConvergenceError",
        "WaldInversionError",
        "XiByThetaJacobianNumericalError",
        "XiByThetaJacobianReversionError",
    }
)


def __getattr__(name: str) -> Any:
    """Give :class:`NumericalError` under PyBLP's names."""
    if name in _NUMERICAL:
        return NumericalError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List all names."""
    return sorted([*__all__, *_NUMERICAL])
