"""What would be otherwise: a job's counterfactuals, and where a run writes them.

Each has a name; all start from the estimates, none from another.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from ..errors import Faults, InputError
from .fields import Number, Options, Text, Whole

if TYPE_CHECKING:
    from ..api.problem import Problem
    from ..api.results import ProblemResults
    from ..results.counterfactual_table import Counterfactual
    from .data import JobData
    from .schema import Job

#: Directory of tables of products and markets, and averages as they are printed.
TABLES, PRINTED = "counterfactuals", "counterfactuals.txt"


def _as_name(value: Any) -> Any:
    """Take what can be the name of files."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][\w-]*", value):
        raise PydanticCustomError("name", "a name of letters, digits, - and _")
    return value


#: Of a counterfactual: it becomes the name of files.
Name = Annotated[Text, BeforeValidator(_as_name)]
#: One number for all products, or the name of a column of them.
Amount = Number | Text


class CounterfactualOptions(Options):
    """What is otherwise; what is left out stays as in the data."""

    firms: dict[Whole | Text, Whole | Text] | None = Field(default=None, min_length=1)
    """Which firms become which, say {2: 1}: firm 2's products become firm 1's."""
    unit_taxes: Amount | None = None
    """Taxes on a unit sold, a number or a column of products; below zero, subsidies."""
    ad_valorem_taxes: Amount | None = None
    """Taxes as a share of producers' prices, a number or a column of products."""
    unit_taxes_before: Amount | None = None
    """Unit taxes behind the prices of the data; without new ones, they stay."""
    ad_valorem_taxes_before: Amount | None = None
    """Ad valorem taxes behind the prices of the data; without new ones, they stay."""
    new_costs: Text | None = None
    """Column of marginal costs after; left out, they stay as they are."""
    fixed_prices: Text | None = None
    """Column that is true, or one, for products whose prices are held."""


def check_counterfactuals(job: Job, data: JobData, problem: Problem) -> None:
    """Refuse firms and columns that are not there, before anything is estimated.

    Raises
    ------
    blpdask.errors.InputError
        With every fault.
    """
    from ..api.merger import check_mergers
    from ..api.stored import in_memory

    if not job.counterfactuals:
        return
    products = in_memory(problem.demand, "counterfactuals").products
    faults = Faults("counterfactuals")
    for name, asked in job.counterfactuals.items():
        _arguments(name, asked, data, faults)
        if asked.firms is not None:
            try:
                check_mergers(products.ids.get("firm_ids"), asked.firms)
            except InputError as error:
                faults.extend(error)
    faults.check()


def write_counterfactuals(
    job: Job, data: JobData, results: ProblemResults, partial: Path
) -> dict[str, Any]:
    """Compute the job's counterfactuals and write them down.

    Parameters
    ----------
    job, data, results
        The job, its data and its results.
    partial
        Where.

    Returns
    -------
    dict
        Averages before and after by name, for the run's summary; empty without any.
    """
    if not job.counterfactuals:
        return {}
    folder = partial / TABLES
    folder.mkdir(exist_ok=True)
    texts, summaries = [], {}
    for name, asked in job.counterfactuals.items():
        arguments = _arguments(name, asked, data, Faults("counterfactuals"))
        effects = results.simulate_counterfactual(**arguments)
        _write_tables(effects, folder, name)
        texts.append(f"{name}\n{effects}\n")
        summaries[name] = effects.summary()
    (partial / PRINTED).write_text("\n".join(texts), encoding="utf-8")
    plain: dict[str, Any] = json.loads(json.dumps(summaries))
    return {"counterfactuals": plain}


def _write_tables(effects: Counterfactual, folder: Path, name: str) -> None:
    """Write a table of products and one of markets."""
    effects.to_frame().to_csv(folder / f"{name}.csv", index=False)
    effects.markets_frame().to_csv(folder / f"{name}_markets.csv", index=False)


def _arguments(
    name: str, asked: CounterfactualOptions, data: JobData, faults: Faults
) -> dict[str, Any]:
    """Make the arguments of ``simulate_counterfactual``, adding every fault."""
    read = _Columns(f"counterfactuals.{name}", data, faults)
    found = {
        "mergers": None if asked.firms is None else dict(asked.firms),
        "taxes": _taxes(read, asked.unit_taxes, asked.ad_valorem_taxes),
        "taxes_before": _taxes(
            read, asked.unit_taxes_before, asked.ad_valorem_taxes_before
        ),
        "new_costs": read.numbers(asked.new_costs),
        "fixed_prices": read.flags(asked.fixed_prices),
    }
    return {key: value for key, value in found.items() if value is not None}


def _taxes(read: _Columns, unit: Amount | None, rate: Amount | None) -> Any:
    """Make taxes of what is given of them; None where nothing is."""
    from ..api.taxes import Taxes

    if unit is None and rate is None:
        return None
    amounts = [0.0 if given is None else read.numbers(given) for given in (unit, rate)]
    if any(amount is None for amount in amounts):
        return None
    try:
        return Taxes(*amounts)
    except InputError as error:
        read.faults.extend(error)
        return None


class _Columns:
    """Reads columns of the products' table that options name."""

    def __init__(self, option: str, data: JobData, faults: Faults) -> None:
        self._option, self._table, self.faults = option, data.products, faults

    def numbers(self, given: Amount | None) -> Any:
        """Give a number as it is, and the numbers of a column."""
        if given is None or not isinstance(given, str):
            return given
        column = self._column(given)
        if column is not None and column.dtype.kind not in "biuf":
            self._refuse(given, "a column of numbers")
            return None
        return column

    def flags(self, given: str | None) -> Any:
        """Give the truths of a column of them, or of zeros and ones."""
        column = None if given is None else self._column(given)
        if column is None:
            return None
        if column.dtype.kind != "b" and not set(column.tolist()) <= {0, 1}:
            self._refuse(str(given), "a column of true and false, or ones and zeros")
            return None
        return column.astype(bool)

    def _column(self, name: str) -> Any:
        """Give a column as an array; None where there is none."""
        table: Any = self._table
        if name in table.columns:
            return table[name].to_numpy()
        known = ", ".join(str(column) for column in table.columns)
        self._refuse(name, f"a number, or one of products' columns: {known}")
        return None

    def _refuse(self, name: str, expected: str) -> None:
        """Add a fault of a column."""
        self.faults.add(f"column {name!r} in {self._option}", expected, "correct it")
