"""Which models of conduct a job compares, and where a run writes what it found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from ..errors import Faults, InputError
from .fields import Flag, Number, Options, Text, Whole

if TYPE_CHECKING:
    import pandas as pd

    from ..api.conduct_models import ConductModel
    from ..api.formulation import Formulation
    from ..api.problem import Problem
    from ..api.results import ProblemResults
    from .data import JobData
    from .schema import Job

#: Table of pairs of models, and the test as it is printed.
PAIRS, PRINTED = "conduct.csv", "conduct.txt"

ConductKind = Literal[
    "bertrand", "cournot", "collusion", "monopoly", "perfect_competition"
]


class ConductModelOptions(Options):
    """A model of how firms set prices or quantities."""

    kind: ConductKind
    """What firms do: set prices (bertrand), set quantities (cournot), set prices with
    regard to others (collusion), as one (monopoly), or at cost."""
    firms: tuple[Whole | Text, ...] | None = None
    """Ids of the firms that collude; left out, all."""
    kappa: Number | None = None
    """Weight that those put on each other's profits; left out, one."""
    name: Text | None = None
    """What the model is called in tables."""

    @model_validator(mode="before")
    @classmethod
    def _read_kind(cls, given: Any) -> Any:
        """Take the name of a kind for a model of it."""
        return {"kind": given} if isinstance(given, str) else given


class ConductOptions(Options):
    """Models of conduct, which are tested against each other at the estimates."""

    models: tuple[ConductModelOptions, ...] = Field(min_length=2)
    """Two models or more, say [bertrand, {kind: collusion, firms: [1, 2]}]."""
    instruments: tuple[Text, ...] | None = None
    """Columns of products that move markups and do not shift costs; left out, those of
    the supply side."""
    costs: Text | None = None
    """Formula of what shifts costs, say "1 + x"; left out, that of supply."""
    absorb_costs: Text | None = None
    """Fixed effects to absorb with that formula."""
    costs_type: Literal["linear", "log"] | None = None
    """Whether costs or their logs are explained; left out, as in the problem."""
    demand_adjustment: Flag = True
    """Whether variances know that demand was estimated."""


def check_conduct(job: Job, data: JobData, problem: Problem) -> None:
    """Refuse models, columns and formulas that are not there, before anything runs.

    Raises
    ------
    blpdask.errors.InputError
        With every fault.
    """
    from ..api.conduct_columns import read_instruments, read_shifters
    from ..api.conduct_models import read_models
    from ..api.stored import in_memory

    if job.conduct is None:
        return
    demand, faults = in_memory(problem.demand, "conduct tests"), Faults("conduct")
    models = _models(job.conduct, faults)
    instruments = _instruments(job.conduct, data, faults)
    formulation = _formulation(job.conduct, faults)
    faults.check()
    read_models(models, demand, faults)
    read_shifters(formulation, data.products, demand, faults)
    read_instruments(instruments, demand, faults)
    faults.check()


def write_conduct(
    job: Job, data: JobData, results: ProblemResults, partial: Path
) -> dict[str, Any]:
    """Test the job's models of conduct and write down what was found.

    Parameters
    ----------
    job, data, results
        The job, its data and its results.
    partial
        Where.

    Returns
    -------
    dict
        Names of the models that are not rejected and p-values, for the run's summary;
        empty where nothing is asked.
    """
    if job.conduct is None:
        return {}
    asked, faults = job.conduct, Faults("conduct")
    found = results.run_conduct_test(
        _models(asked, faults),
        _instruments(asked, data, faults),
        _formulation(asked, faults),
        product_data=data.products,
        costs_type=asked.costs_type,
        demand_adjustment=asked.demand_adjustment,
        seed=job.seed,
    )
    found.to_frame().to_csv(partial / PAIRS, index=False)
    (partial / PRINTED).write_text(f"{found}\n", encoding="utf-8")
    p_values = zip(found.names, found.confidence_p_values.tolist(), strict=True)
    kept = list(found.confidence_set())
    return {"conduct": {"p_values": dict(p_values), "confidence_set": kept}}


def _models(asked: ConductOptions, faults: Faults) -> list[ConductModel]:
    """Make the models, adding every fault."""
    from ..api.conduct_models import ConductModel

    made = []
    for model in asked.models:
        try:
            made.append(ConductModel(**model.model_dump()))
        except InputError as error:
            faults.extend(error)
    return made


def _instruments(
    asked: ConductOptions, data: JobData, faults: Faults
) -> pd.DataFrame | None:
    """Take the columns of instruments out of the products' table."""
    if asked.instruments is None:
        return None
    table: Any = data.products
    known = [str(name) for name in table.columns]
    missing = [name for name in asked.instruments if name not in known]
    if missing:
        faults.add(
            f"conduct.instruments {', '.join(missing)}",
            f"columns of products: {', '.join(known)}",
            "correct their names",
        )
        return None
    chosen: pd.DataFrame = table[list(asked.instruments)]
    return chosen


def _formulation(asked: ConductOptions, faults: Faults) -> Formulation | None:
    """Make the formulation of what shifts costs."""
    from ..api.formulation import Formulation

    if asked.costs is None:
        if asked.absorb_costs is not None:
            faults.add(
                "conduct.absorb_costs without conduct.costs",
                "effects beside a formula",
                "add conduct.costs, or leave absorb_costs out",
            )
        return None
    try:
        return Formulation(asked.costs, asked.absorb_costs)
    except InputError as error:
        faults.extend(error)
        return None
