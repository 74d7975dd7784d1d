"""Micro moments that a job declares: datasets, and statistics of formulas on them.

What a job says is what ``MicroMoment.mean``, ``.covariance`` and the others are told
(:mod:`blpdask.api.micro`); functions of the user's are for the Python interface.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ..errors import Faults, InputError
from .fields import Matrix, Number, Options, Text, Whole

if TYPE_CHECKING:
    from ..api.micro import MicroDataset, MicroMoment

_OF_TWO = ("covariance", "correlation", "regression")


class MicroDatasetOptions(Options):
    """A survey."""

    observations: Whole = Field(ge=1)
    """How many people were surveyed."""
    weights: Text = "1"
    """Formula of how likely an agent's choice is recorded; 1 records everyone alike,
    inside those alone who purchase, inside * second(inside) those who purchase and are
    asked what they would purchase instead."""
    eliminated_product_ids_index: Whole | None = Field(default=None, ge=0)
    """Of second choices: column of product_ids whose groups are gone; left out, the
    first choice alone is."""
    market_ids: tuple[Text | Whole | Number, ...] | None = None
    """Markets where the survey was; left out, all."""


class MicroMomentOptions(Options):
    """A statistic of those whom a survey records."""

    statistic: Literal["mean", "share", "covariance", "correlation", "regression"]
    """What is compared: the mean of x, the share of those of whom x is one, or the
    covariance, correlation or slope of y on x."""
    x: Text
    """Formula of columns of agents and products, say income * prices, or of second
    choices, say second(prices)."""
    y: Text | None = None
    """Another formula, of a statistic of two."""
    given: Text | None = None
    """Formula of a condition, one where it holds, say inside; left out, there is
    none."""
    value: Number
    """What was observed."""
    dataset: Text
    """Name of the dataset."""
    name: Text | None = None
    """Name of the moment; left out, it is made of the formulas."""


class MicroOptions(Options):
    """Surveys, and what they found."""

    datasets: dict[Text, MicroDatasetOptions] = Field(min_length=1)
    """Surveys by name, say {CEX: {observations: 29125}}."""
    moments: tuple[MicroMomentOptions, ...] = Field(min_length=1)
    """What they found, say [{statistic: mean, x: age, given: mi, value: 0.783,
    dataset: CEX}]."""
    sample_covariances: Matrix | None = None
    """Covariances of the observed values; left out, they are the model's."""


def make_moments(micro: MicroOptions, faults: Faults) -> list[MicroMoment]:
    """Make the micro moments that a job declares.

    Parameters
    ----------
    micro
        The options.
    faults
        What every fault is added to; moments with faults are left out.
    """
    from ..api.micro import MicroDataset

    datasets: dict[str, MicroDataset | None] = {}
    for name, own in micro.datasets.items():
        try:
            datasets[name] = MicroDataset(
                name,
                own.observations,
                own.weights,
                own.eliminated_product_ids_index,
                own.market_ids,
            )
        except InputError as error:
            datasets[name] = None
            _add(f"micro.datasets.{name}", error, faults)
    made = []
    for place, moment in enumerate(micro.moments):
        option = f"micro.moments.{place}"
        if moment.dataset not in datasets:
            faults.add(
                f"{option}: dataset {moment.dataset!r}",
                f"one of micro.datasets: {', '.join(datasets)}",
                "correct the name, or add the dataset",
            )
            continue
        dataset = datasets[moment.dataset]
        if _has_its_formulas(moment, option, faults) and dataset is not None:
            try:
                made.append(_make(moment, dataset))
            except InputError as error:
                _add(option, error, faults)
    return made


def _has_its_formulas(moment: MicroMomentOptions, option: str, faults: Faults) -> bool:
    """Check that a statistic of two has two formulas, and another one."""
    two = moment.statistic in _OF_TWO
    if two == (moment.y is not None):
        return True
    faults.add(
        f"{option}: {moment.statistic} {'without' if two else 'with'} y",
        f"x and y for {', '.join(_OF_TWO)}; x alone for mean, share",
        "add y" if two else "delete y",
    )
    return False


def _make(moment: MicroMomentOptions, dataset: MicroDataset) -> MicroMoment:
    """Make one moment."""
    from ..api.micro import MicroMoment

    named: dict[str, Any] = {
        "value": moment.value,
        "dataset": dataset,
        "given": moment.given,
        "name": moment.name,
    }
    if moment.statistic == "mean":
        return MicroMoment.mean(moment.x, **named)
    if moment.statistic == "share":
        return MicroMoment.share(moment.x, **named)
    assert moment.y is not None
    if moment.statistic == "covariance":
        return MicroMoment.covariance(moment.x, moment.y, **named)
    if moment.statistic == "correlation":
        return MicroMoment.correlation(moment.x, moment.y, **named)
    return MicroMoment.regression(moment.y, moment.x, **named)


def _add(option: str, error: InputError, faults: Faults) -> None:
    """Add the faults of an object under its option's name."""
    for fault in error.faults:
        faults.add(f"{option}: {fault.found}", fault.expected, fault.remedy)
