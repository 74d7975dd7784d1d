"""What kinds of jobs there are: about markets, and about choices of people.

A kind is what running a job needs to know of it, step by step: which options it has,
which of them contradict one another, where its data are, how its problem is built,
solved and summed up. A file says ``kind: choices``, or is about markets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import Faults

if TYPE_CHECKING:
    from .fields import Options

#: Modules of kinds by what a file says, and what it says where it says nothing.
_MODULES = {"markets": "market_jobs", "choices": "choice_jobs"}
_DEFAULT = "markets"


@dataclass(frozen=True, slots=True)
class JobKind:
    """How jobs of a kind are read, solved and shown.

    Attributes
    ----------
    schema
        Options of a job.
    placeholders
        Values of required options, with which the rest can be checked where they are
        wrong.
    find_conflicts
        Of a job: options that contradict one another.
    add_faults
        Of a job, its directory and a list of faults: what else is wrong with it before
        any data are read.
    resolve, read
        Of a job and the directory of its file: the job filled in; its data, which have
        a ``record``.
    build
        Of a job and its data: its problem.
    check
        Of a job, its data and its problem: refuse what can only be known of all three.
    arguments
        Of a job: those of the problem's ``solve``, but ``progress`` and ``resume``.
    trial
        Of a job: those of a ``solve`` that evaluates once, at the starting values.
    tell_trial
        Of a trial's results: a sentence about them.
    summarise
        Of a job, its results, seconds and replayed evaluations: numbers for JSON.
    answer
        Of a job, its data, its results and a directory: write answers to questions
        there, and give numbers for the summary.
    starts
        Of results: a table of what several starts led to.
    read_results
        Of a directory: what :meth:`save` wrote there.
    conclude
        Of a summary: a sentence that people are shown below results.
    """

    schema: type[Options]
    placeholders: Mapping[str, Any]
    find_conflicts: Callable[[Any], Iterable[Any]]
    add_faults: Callable[..., None]
    resolve: Callable[[Any, Path], Any]
    read: Callable[[Any, Path], Any]
    build: Callable[[Any, Any], Any]
    check: Callable[[Any, Any, Any], None]
    arguments: Callable[[Any], dict[str, Any]]
    trial: Callable[[Any], dict[str, Any]]
    tell_trial: Callable[[Any], str]
    summarise: Callable[[Any, Any, float, int], dict[str, Any]]
    answer: Callable[[Any, Any, Any, Path], dict[str, Any]]
    starts: Callable[[Any], Any]
    read_results: Callable[[Path], Any]
    conclude: Callable[[dict[str, Any]], str]


def kind_named(name: Any) -> JobKind:
    """Give a kind by what a file says of it; of what is unknown, that of markets."""
    known = name if isinstance(name, str) and name in _MODULES else _DEFAULT
    module = import_module(f".{_MODULES[known]}", __package__)
    return cast("JobKind", module.KIND)


def kind_of_job(job: Any) -> JobKind:
    """Give the kind of a job."""
    return kind_named(getattr(job, "kind", _DEFAULT))


def kind_names() -> tuple[str, ...]:
    """Name all kinds."""
    return tuple(_MODULES)


def require_markets(job: Any, command: str) -> None:
    """Refuse a job about choices of people, of which a command knows nothing.

    Raises
    ------
    blpdask.errors.InputError
        Where it is one.
    """
    if kind_of_job(job).schema is not kind_named(_DEFAULT).schema:
        faults = Faults(f"blpdask {command}")
        faults.add(
            f"kind: {job.kind}",
            "a job about markets",
            "check it with 'blpdask check --evaluate', and run it with 'blpdask run'",
        )
        faults.check()
