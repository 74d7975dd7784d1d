"""Micro moments: what a survey found, beside what the model says that it should find.

A dataset d records agent i who chooses j with weight W_dij; a part p averages values
v_pij over those recorded, and a moment compares f(v) of one or more parts with what was
observed,

    ḡ_m = f̄_m - f_m(v),   v_p = Σ_t Σ_ij w_i P_ij W_dij v_pij / Σ_t Σ_ij w_i P_ij W_dij

(Conlon and Gortmaker 2025), with sums over second choices k as well where they were
asked for. The classes are PyBLP's, with its arguments. Wherever they
take a function of ``(t, products, agents)`` they take a formula as well, which pickles,
stands in a job file, and needs no derivatives:

    MicroMoment.mean("income * prices", value=1.2, dataset=survey, given="inside")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import Faults
from ..moments.survey_statistics import MEANS, Kind, SurveyStatistic
from ..problem.survey_arrays import MarketFunction
from ..problem.survey_expressions import ChoiceExpression
from ..results.text_tables import format_number
from .micro_arguments import (
    check_name,
    is_whole,
    read_function,
    read_market_ids,
    read_value,
)

_IDENTITY = SurveyStatistic("mean", conditional=False)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MicroDataset:
    """A survey, of those whom it records.

    Parameters
    ----------
    name
        Unique among datasets.
    observations
        N_d.
    compute_weights
        Function ``(t, products, agents)`` that gives W_dij from zero in a market:
        agents by products ``(I, J)``, who are recorded only if they purchase, or
        ``(I, 1 + J)``, the outside option first. Tables are PyBLP's:
        ``products.X2``, ``agents.demographics``, …. Or a formula, say ``"inside"``.
        Where people were also asked what they would choose were their choice gone, the
        array has one more axis, of second choices, of either length; a formula has
        ``second(...)`` around columns of theirs, say ``"inside * second(inside)"``, or
        ``second(1)`` where none matters.
    eliminated_product_ids_index
        Of second choices: None where the first choice alone is gone, or the column of
        ``product_ids`` all of whose products with the same value are. With nests, each
        group lies within a nest or is a union of nests.
    market_ids
        Markets where the survey was; everywhere where None.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Examples
    --------
    >>> MicroDataset("buyers", 1000, "inside", market_ids=["C01Q1", "C01Q2"])
    buyers: 1000 Observations in 2 Markets

    Buyers who were asked what they would have bought instead, if anything:

    >>> MicroDataset("rivals", 500, "inside * second(inside)")
    rivals: 500 Observations in All Markets
    """

    name: str
    observations: int
    compute_weights: MarketFunction | str
    eliminated_product_ids_index: int | None = None
    market_ids: Any = None

    def __post_init__(self) -> None:
        """Check the arguments."""
        faults = Faults("MicroDataset")
        check_name(self.name, faults)
        if not is_whole(self.observations, 1):
            faults.add(
                f"observations={self.observations!r}",
                "a whole number, at least 1",
                "pass how many people were surveyed",
            )
        index = self.eliminated_product_ids_index
        if index is not None and not is_whole(index, 0):
            faults.add(
                f"eliminated_product_ids_index={index!r}",
                "None, or the number of a column of product_ids",
                "correct it or leave it out",
            )
        weights = read_function(self.compute_weights, "compute_weights", faults)
        market_ids = read_market_ids(self.market_ids, faults)
        faults.check()
        # A frozen record normalises its fields only here.
        object.__setattr__(self, "compute_weights", weights)
        object.__setattr__(self, "market_ids", market_ids)

    def __str__(self) -> str:
        """Say what the survey is."""
        where = "All Markets"
        if self.market_ids is not None:
            n = len(self.market_ids)
            where = (
                f"{n} Markets" if n != 1 else f"Market '{next(iter(self.market_ids))}'"
            )
        return f"{self.name}: {self.observations} Observations in {where}"

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MicroPart:
    """Values whose mean over a dataset is part of a moment.

    Parameters
    ----------
    name
        Unique among parts.
    dataset
        The survey.
    compute_values
        Function ``(t, products, agents)`` that gives v_pij in a market, an array of the
        shape of the dataset's weights; or a formula, say ``"income * prices"`` or, of
        second choices, ``"prices * second(prices)"``.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Examples
    --------
    >>> survey = MicroDataset("buyers", 1000, "inside")
    >>> MicroPart("E[income]", survey, "income")
    E[income] on buyers: 1000 Observations in All Markets
    """

    name: str
    dataset: MicroDataset
    compute_values: MarketFunction | str

    def __post_init__(self) -> None:
        """Check the arguments."""
        faults = Faults("MicroPart")
        check_name(self.name, faults)
        if not isinstance(self.dataset, MicroDataset):
            faults.add(
                f"dataset of type {type(self.dataset).__name__}",
                "a MicroDataset",
                "make one and pass it to all of its parts",
            )
        values = read_function(self.compute_values, "compute_values", faults)
        faults.check()
        object.__setattr__(self, "compute_values", values)

    @property
    def key(self) -> Any:
        """What tells parts apart: themselves, or their dataset and formula."""
        if isinstance(self.compute_values, ChoiceExpression):
            return self.dataset, self.compute_values
        return self

    def __str__(self) -> str:
        """Say what is averaged, and where."""
        return f"{self.name} on {self.dataset}"

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MicroMoment:
    """A function of parts, beside what was observed.

    Parameters
    ----------
    name
        Unique among moments.
    value
        f̄, what was observed.
    parts
        A MicroPart, whose mean is the moment, or several.
    compute_value, compute_gradient
        Functions of the parts' values ``(P,)`` that give f and ∂f/∂v ``(P,)``; needed
        where there are several parts.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Examples
    --------
    >>> survey = MicroDataset("survey", 1000, "1")
    >>> MicroMoment("E[income]", 2.5, MicroPart("income", survey, "income"))
    E[income]: +2.500000E+00 (income on survey: 1000 Observations in All Markets)
    >>> moment = MicroMoment.mean("income", value=2.5, dataset=survey, given="inside")
    >>> moment.name, [part.name for part in moment.parts]
    ('E[income | inside]', ['E[income * inside]', 'E[inside]'])
    """

    name: str
    value: float
    parts: Any
    compute_value: Callable[[Any], Any] | None = field(default=None)
    compute_gradient: Callable[[Any], Any] | None = field(default=None)

    def __post_init__(self) -> None:
        """Check the arguments."""
        faults = Faults("MicroMoment")
        check_name(self.name, faults)
        value = read_value(self.value, faults)
        single = isinstance(self.parts, MicroPart)
        parts = (self.parts,) if single else _read_parts(self.parts, faults)
        functions = {
            "compute_value": self.compute_value,
            "compute_gradient": self.compute_gradient,
        }
        for name, function in functions.items():
            if not callable(function) and not (single and function is None):
                faults.add(
                    f"{name}={function!r}",
                    "a function of the parts' values, since parts is a sequence"
                    if function is None
                    else "a function of the parts' values",
                    f"pass {name}, or use MicroMoment.mean, .covariance, …, which know "
                    "their own",
                )
        faults.check()
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "parts", parts)
        if self.compute_value is None:
            object.__setattr__(self, "compute_value", _IDENTITY.value)
        if self.compute_gradient is None:
            object.__setattr__(self, "compute_gradient", _IDENTITY.gradient)

    @classmethod
    def mean(
        cls,
        x: str,
        *,
        value: float,
        dataset: MicroDataset,
        given: str | None = None,
        name: str | None = None,
    ) -> MicroMoment:
        """Match the mean E[x] of a formula, or E[x | given].

        Parameters
        ----------
        x
            Formula of columns of agents and products, say ``"income * prices"``; those
            within ``second(...)`` are of second choices.
        value
            What was observed.
        dataset
            The survey.
        given
            Formula of a condition, one where it holds and zero elsewhere, say
            ``"inside"``, which is one for every product. Means are weighted by it.
        name
            Of the moment; made of the formulas where None.
        """
        return cls._declared("mean", "E[{x}{given}]", (x,), value, dataset, given, name)

    @classmethod
    def share(
        cls,
        event: str,
        *,
        value: float,
        dataset: MicroDataset,
        given: str | None = None,
        name: str | None = None,
    ) -> MicroMoment:
        """Match the share P(event) of those of whom a formula is one, not zero.

        The arguments are those of :meth:`mean`.
        """
        return cls._declared(
            "mean", "P({x}{given})", (event,), value, dataset, given, name
        )

    @classmethod
    def covariance(
        cls,
        x: str,
        y: str,
        *,
        value: float,
        dataset: MicroDataset,
        given: str | None = None,
        name: str | None = None,
    ) -> MicroMoment:
        """Match Cov(x, y), the variance where y is x; see :meth:`mean`."""
        if x == y:
            form = "Var({x}{given})"
            return cls._declared("variance", form, (x,), value, dataset, given, name)
        form = "Cov({x}, {y}{given})"
        return cls._declared("covariance", form, (x, y), value, dataset, given, name)

    @classmethod
    def correlation(
        cls,
        x: str,
        y: str,
        *,
        value: float,
        dataset: MicroDataset,
        given: str | None = None,
        name: str | None = None,
    ) -> MicroMoment:
        """Match Corr(x, y); see :meth:`mean`."""
        form = "Corr({x}, {y}{given})"
        return cls._declared("correlation", form, (x, y), value, dataset, given, name)

    @classmethod
    def regression(
        cls,
        y: str,
        x: str,
        *,
        value: float,
        dataset: MicroDataset,
        given: str | None = None,
        name: str | None = None,
    ) -> MicroMoment:
        """Match the least squares slope of y on x and a constant; see :meth:`mean`."""
        form = "Slope of {y} on {x}{given}"
        return cls._declared("regression", form, (x, y), value, dataset, given, name)

    @classmethod
    def _declared(
        cls,
        kind: Kind,
        form: str,
        variables: tuple[str, ...],
        value: float,
        dataset: MicroDataset,
        given: str | None,
        name: str | None,
    ) -> MicroMoment:
        """Make the moment of a statistic of formulas."""
        meanings = dict(zip("xy", variables, strict=False))
        expressions = [
            ChoiceExpression(tuple(meanings[letter] for letter in term), given)
            for term in MEANS[kind]
        ]
        if given is not None:
            expressions.append(ChoiceExpression((given,)))
        condition = "" if given is None else f" | {given}"
        statistic = SurveyStatistic(kind, conditional=given is not None)
        return cls(
            name=form.format(**meanings, given=condition) if name is None else name,
            value=value,
            parts=[MicroPart(f"E[{e}]", dataset, e) for e in expressions],
            compute_value=statistic.value,
            compute_gradient=statistic.gradient,
        )

    @property
    def statistic(self) -> SurveyStatistic | None:
        """What f is where it is known; None for functions of the user's."""
        owner = getattr(self.compute_value, "__self__", None)
        return owner if isinstance(owner, SurveyStatistic) else None

    def __str__(self) -> str:
        """Say what is matched, and where."""
        listed = "; ".join(map(str, self.parts))
        return f"{self.name}: {format_number(self.value)} ({listed})"

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)


def _read_parts(given: Any, faults: Faults) -> tuple[MicroPart, ...]:
    """Read several distinct parts."""
    listed = isinstance(given, Sequence) and not isinstance(given, str)
    if not listed or not given or not all(isinstance(p, MicroPart) for p in given):
        faults.add(
            f"parts={given!r}",
            "a MicroPart or a sequence of them, at least one",
            "make the parts and pass them in the order of f's arguments",
        )
        return ()
    parts = tuple(given)
    add_part_clashes(parts, faults)
    if len({part.key for part in parts}) < len(parts):
        faults.add(
            "a part that is listed twice",
            "distinct parts",
            "list it once and use its value twice in compute_value",
        )
    return parts


def add_part_clashes(parts: Sequence[MicroPart], faults: Faults) -> None:
    """Add faults where one name stands for two parts, or for two datasets."""
    by_name: dict[Any, MicroPart] = {}
    for part in parts:
        formula = isinstance(part.compute_values, ChoiceExpression)
        name = (part.name, part.dataset) if formula else part.name
        other = by_name.setdefault(name, part)
        if other.key != part.key:
            faults.add(
                f"two micro parts of the name '{part.name}'",
                "one name for each part",
                "rename one of them, or pass the same MicroPart to both moments",
            )
    datasets: dict[str, MicroDataset] = {}
    for part in parts:
        if datasets.setdefault(part.dataset.name, part.dataset) is not part.dataset:
            faults.add(
                f"two micro datasets of the name '{part.dataset.name}'",
                "one name for each dataset",
                "rename one of them, or pass the same MicroDataset to both parts",
            )
