"""Jobs about choices of people: how they are read, solved and summed up.

This is the one place where such a job meets the Python interface, whose names it
shares: :class:`blpdask.ChoiceProblem`, and :class:`blpdask.LatentClassProblem` where
there are classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Faults
from .build import make_or_fault
from .choice_data import ChoiceData, add_missing_choices, read_choice_data
from .choice_questions import answer_questions, check_questions
from .choice_schema import ChoiceJob
from .consistency import Conflict, find_engine_conflicts
from .kinds import JobKind
from .resolve import absolute_source, kind_of, resolve_engine
from .sources import locate_store

if TYPE_CHECKING:
    from ..api.choice_problem import ChoiceProblem
    from ..api.choice_results import ChoiceResults
    from ..api.formulation import Formulation
    from ..api.integration import Integration
    from ..api.optimization import Optimization

_OF_CLASSES = ("membership", "shared")
_OF_MIXTURES = ("demographics", "shifts", "wtp", "random_scale", "start")
_UNSEEDED = ("product", "trapezoid")


def _find_conflicts(job: ChoiceJob) -> Iterator[Conflict]:
    """Find options that contradict one another."""
    places = [n for n in ("source", "store", "simulated") if getattr(job.data, n)]
    if len(places) != 1:
        yield Conflict(
            ("data",),
            " and ".join(f"data.{name}" for name in places) or "no data",
            "one of data.source, data.store and data.simulated",
            "name a table, say source: data:electricity, and nothing else",
        )
    without = job.classes is None
    for name in _OF_CLASSES if without else _OF_MIXTURES:
        if getattr(job, name):
            yield Conflict(
                (name, "classes"),
                f"{name} {'without' if without else 'with'} classes",
                f"{'classes' if without else 'no classes'} with {name}",
                f"delete {name}, or {'add' if without else 'delete'} classes",
            )
    if job.classes is not None and job.solve.method != "msl":
        yield Conflict(
            ("classes", "solve"),
            f"solve.method {job.solve.method} with classes",
            "method msl: classes are estimated by maximum likelihood",
            "delete solve.method",
        )
    yield from find_engine_conflicts(job.engine)


def _add_faults(job: ChoiceJob, directory: Path, faults: Faults) -> None:
    """Look for configurations that cannot be made, and for data that are not there."""
    _formulations(job, faults)
    _integration(job, faults)
    _optimization(job, faults)
    add_missing_choices(job.data, directory, faults)


def _resolve(job: ChoiceJob, directory: Path) -> ChoiceJob:
    """Make paths absolute, and write the seed out where one is used."""
    data = job.data
    if data.source is not None:
        source = absolute_source(data.source, directory)
        data = data.model_copy(update={"source": source})
    if data.store is not None:
        store = str(locate_store(data.store, directory))
        data = data.model_copy(update={"store": store})
    if data.simulated is not None and data.simulated.seed is None:
        simulated = data.simulated.model_copy(update={"seed": job.seed})
        data = data.model_copy(update={"simulated": simulated})
    rule = job.integration
    if rule is not None and rule.specification not in _UNSEEDED:
        options = {"seed": job.seed, **rule.specification_options}
        rule = rule.model_copy(update={"specification_options": options})
    update: dict[str, Any] = {"data": data, "integration": rule}
    update["engine"] = resolve_engine(job.engine, directory)
    return job.model_copy(update=update)


def _formulations(job: ChoiceJob, faults: Faults) -> dict[str, Formulation | None]:
    """Make the formulations of a job; None where it has none or a wrong one."""
    from ..api.formulation import Formulation

    names = ("formulation", "demographics", "membership")
    texts = {name: getattr(job, name) for name in names}
    return {
        name: make_or_fault(text and partial(Formulation, text), name, faults)
        for name, text in texts.items()
    }


def _integration(job: ChoiceJob, faults: Faults) -> Integration | None:
    """Make the integration of a job."""
    from ..api.integration import Integration

    rule = job.integration
    if rule is None:
        return None
    options = dict(rule.specification_options)
    make = partial(Integration, rule.specification, rule.size, options)
    return make_or_fault(make, "integration", faults)


def _optimization(job: ChoiceJob, faults: Faults) -> Optimization | None:
    """Make the optimisation of a job."""
    from ..api.optimization import Optimization

    chosen = job.solve.optimization
    make = partial(Optimization, chosen.method, dict(chosen.method_options))
    return make_or_fault(make, "solve.optimization", faults)


def _build(job: ChoiceJob, data: ChoiceData) -> Any:
    """Build the problem of a job."""
    faults = Faults(f"job {job.name}")
    made, integration = _formulations(job, faults), _integration(job, faults)
    faults.check()
    formulation = made["formulation"]
    assert formulation is not None
    shared: dict[str, Any] = {
        "random": dict(job.random) or None,
        "integration": integration,
        "correlated": job.correlated,
    }
    if job.classes is not None:
        from ..api.latent_class_problem import LatentClassProblem

        return LatentClassProblem(
            formulation,
            data.table,
            job.classes,
            membership=made["membership"],
            shared=job.shared,
            **shared,
        )
    from ..api.choice_problem import ChoiceProblem

    return ChoiceProblem(
        formulation,
        data.table,
        demographics=made["demographics"],
        shifts=job.shifts,
        wtp=job.wtp,
        random_scale=job.random_scale,
        **shared,
    )


def _check(job: ChoiceJob, data: ChoiceData, problem: ChoiceProblem) -> None:
    """Refuse questions that cannot be answered; the problem has checked the data."""
    del data
    check_questions(job, problem)


def _arguments(job: ChoiceJob) -> dict[str, Any]:
    """Turn the options of a job into the arguments of ``solve``."""
    faults = Faults(f"job {job.name}")
    optimization = _optimization(job, faults)
    faults.check()
    arguments: dict[str, Any] = {
        "se_type": job.solve.se_type,
        "engine": kind_of(job.engine),
        "threads": job.engine.threads,
        "backend": job.engine.backend,
        "optimization": optimization,
    }
    if job.solve.starts is not None:
        arguments["starts"] = job.solve.starts
    if job.classes is None:
        arguments |= {"start": job.start, "method": job.solve.method}
    return arguments


def _trial(job: ChoiceJob) -> dict[str, Any]:
    """Evaluate the likelihood once, at the starting values."""
    from ..api.optimization import Optimization

    arguments = _arguments(job) | {"optimization": Optimization("return")}
    arguments.pop("starts", None)
    return arguments


def _tell_trial(results: ChoiceResults) -> str:
    """Say what the likelihood is at the starting values."""
    return f"log-likelihood {results.log_likelihood:.9g}"


def _summarise(
    job: ChoiceJob, results: ChoiceResults, seconds: float, replayed: int
) -> dict[str, Any]:
    """Sum up results in numbers that JSON can say."""
    return {
        "kind": job.kind,
        "name": job.name,
        "method": job.solve.method,
        "converged": bool(results.converged),
        "log_likelihood": float(results.log_likelihood),
        "AIC": float(results.AIC),
        "BIC": float(results.BIC),
        "people": int(results.I),
        "situations": int(results.S),
        "theta_labels": list(results.labels),
        "theta": [float(value) for value in results.theta],
        "evaluations": int(results.evaluations),
        "seconds": seconds,
        "replayed_evaluations": replayed,
    }


def _starts(results: Any) -> Any:
    """List what each start led to."""
    if hasattr(results, "start_log_likelihoods"):
        import pandas as pd

        heights = results.start_log_likelihoods
        return pd.DataFrame({"log_likelihood": heights})
    return results.starts


def _read_results(directory: Path) -> Any:
    """Read saved results."""
    from ..api.results import read_results

    return read_results(directory)


def _conclude(summary: dict[str, Any]) -> str:
    """Have nothing to say below results, whose tables say it."""
    del summary
    return ""


KIND = JobKind(
    schema=ChoiceJob,
    placeholders={
        "name": "job",
        "kind": "choices",
        "data": {},
        "formulation": "0 + prices",
    },
    find_conflicts=_find_conflicts,
    add_faults=_add_faults,
    resolve=_resolve,
    read=read_choice_data,
    build=_build,
    check=_check,
    arguments=_arguments,
    trial=_trial,
    tell_trial=_tell_trial,
    summarise=_summarise,
    answer=answer_questions,
    starts=_starts,
    read_results=_read_results,
    conclude=_conclude,
)
