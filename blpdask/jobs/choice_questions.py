"""What a job about choices of people asks of its estimates, and the answers' files.

Each answer is a CSV file beside the results; those that people read are printed too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Faults
from .choice_schema import ChoiceJob
from .kept_files import written

if TYPE_CHECKING:
    import pandas as pd

    from ..api.choice_problem import ChoiceProblem
    from ..api.choice_results import ChoiceResults

#: What is printed of the answers.
PRINTED = "answers.txt"
_DIGITS = 6


def check_questions(job: ChoiceJob, problem: ChoiceProblem) -> None:
    """Refuse questions that cannot be answered, before anything is estimated.

    Raises
    ------
    blpdask.errors.InputError
        With every fault.
    """
    asked, faults = job.questions, Faults("questions")
    named = {
        "elasticities": asked.elasticities,
        "diversion_ratios": asked.diversion_ratios,
        "willingness_to_pay": asked.willingness_to_pay,
    }
    any_asked = asked.posterior_coefficients or any(named.values())
    if any_asked and (job.classes is not None or job.data.store is not None):
        what = "latent classes" if job.classes is not None else "choices in a store"
        faults.add(
            f"questions about {what}",
            "a mixed logit of a table",
            "delete questions, and ask the results in Python",
        )
        faults.check()
    variables = problem.formulation.parsed.names
    for question, name in named.items():
        if name is not None and name not in variables:
            faults.add(
                f"questions.{question}: {name}, which the formulation does not have",
                f"one of {', '.join(sorted(variables))}",
                "name one of these",
            )
    shares = asked.elasticities or asked.diversion_ratios
    if shares and "alternative_ids" not in problem.given:
        faults.add(
            "questions about shares of alternatives, and no column 'alternative_ids'",
            "a column that says which alternative each row is",
            "add it, or rename one with data.rename",
        )
    faults.check()


def answer_questions(
    job: ChoiceJob, data: Any, results: ChoiceResults, partial: Path
) -> dict[str, Any]:
    """Answer what a job asks, a CSV file a question.

    Returns
    -------
    dict
        Numbers for the run's summary.
    """
    del data
    texts: list[str] = []
    numbers: dict[str, Any] = {}
    for name, title, table, shown in _answers(job, results):
        with written(partial / f"{name}.csv") as path:
            table.to_csv(path, index=table.index.name is not None)
        if shown:
            text = table.to_string(float_format=lambda v: f"{v:.{_DIGITS}g}")
            texts.append(f"{title}:\n{text}")
        numbers[name] = {"rows": len(table), "file": f"{name}.csv"}
    if texts:
        with written(partial / PRINTED) as path:
            path.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    return {"answers": numbers} if numbers else {}


def _answers(
    job: ChoiceJob, results: ChoiceResults
) -> Iterator[tuple[str, str, pd.DataFrame, bool]]:
    """Give a name, a title, a table, and whether it is printed, of each question."""
    asked = job.questions
    if asked.elasticities is not None:
        table = results.compute_elasticities(asked.elasticities, by="alternatives")
        title = f"Elasticities of shares (rows) by {asked.elasticities} (columns)"
        yield "elasticities", title, table, len(table) <= 20
    if asked.diversion_ratios is not None:
        name = asked.diversion_ratios
        table = results.compute_diversion_ratios(name, by="alternatives")
        title = f"Diversion from rows to columns, by {name}"
        yield "diversion_ratios", title, table, len(table) <= 20
    if asked.willingness_to_pay is not None:
        table = _pay(results, asked.willingness_to_pay)
        yield "willingness_to_pay", "Willingness to pay over people", table, True
    if asked.posterior_coefficients:
        table = results.compute_posterior_coefficients()
        yield "posterior_coefficients", "Coefficients given choices", table, False


def _pay(results: ChoiceResults, price: str) -> pd.DataFrame:
    """Tabulate what people would pay for each variable of the formulation but price."""
    import pandas as pd

    problem = results.problem
    assert problem is not None
    found = {}
    for name in sorted(problem.formulation.parsed.names - {price}):
        paid = results.compute_willingness_to_pay(name, price)
        found[name] = {
            "mean": paid.mean,
            "std_error": paid.mean_se,
            "standard_deviation": paid.standard_deviation,
            **{
                f"quantile_{level:g}": value
                for level, value in zip(
                    paid.levels.tolist(), paid.quantiles.tolist(), strict=True
                )
            },
        }
    return pd.DataFrame(found).T.rename_axis("variable")
