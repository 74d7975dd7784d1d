"""Say whether the options of a job fit together.

Each option is known to be right on its own; here are the conflicts among them. With K2
random coefficients and D demographics, Sigma is K2 x K2 and Pi is K2 x D; how many
columns a formula has is only known with the data, so that is left to the problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .fields import Rows
from .schema import Bound, EngineOptions, Job

SEEDED_RULES = ("monte_carlo", "halton", "lhs", "mlhs", "sobol")


class Conflict(NamedTuple):
    """Options that do not fit together, by their paths, and what to do."""

    options: tuple[str, ...]
    found: str
    expected: str
    remedy: str


def find_conflicts(job: Job) -> Iterator[Conflict]:
    """Find the options of a job that contradict one another.

    Parameters
    ----------
    job
        A job whose options are right one by one.

    Yields
    ------
    Conflict
        Each conflict, with the options that take part in it.
    """
    yield from _sources(job)
    yield from _formulas(job)
    yield from _shapes(job)
    yield from _bound_shapes(job)
    yield from _resamples(job)
    yield from find_engine_conflicts(job.engine)


def _sources(job: Job) -> Iterator[Conflict]:
    """Find data that are neither two tables, nor one store, nor one simulated truth."""
    data = job.data
    wholes = [name for name in ("simulated", "store") if getattr(data, name)]
    if data.products is None and not wholes:
        yield Conflict(
            ("data",),
            "neither data.products nor data.simulated nor data.store",
            "a table of products, a simulated truth, or a store",
            "add data.products.source",
        )
    tables = [name for name in ("products", "agents") if getattr(data, name)]
    if wholes and len(wholes + tables) > 1:
        yield Conflict(
            ("data",),
            f"data.{' beside data.'.join(wholes + tables)}",
            "one or the other: a store and simulated markets bring both tables",
            "keep one, delete the rest",
        )
    if job.formulations.random and not (data.agents or wholes or job.integration):
        yield Conflict(
            ("data", "formulations", "integration"),
            "random coefficients, and neither data.agents nor integration",
            "agents to integrate over",
            "add data.agents.source, or an integration with specification and size",
        )


def _formulas(job: Job) -> Iterator[Conflict]:
    """Find parameters without their formulas, and formulas without parameters."""
    formulas = job.formulations
    pairs = (
        ("sigma", job.sigma, "random", formulas.random, True),
        ("pi", job.pi, "demographics", formulas.demographics, True),
        ("gamma", job.gamma, "supply", formulas.supply, False),
    )
    for name, given, formula, text, needed in pairs:
        if given is not None and text is None:
            yield Conflict(
                (name, "formulations"),
                f"{name} without formulations.{formula}",
                f"the formula whose parameters {name} holds",
                f"add formulations.{formula}, or delete {name}",
            )
        if given is None and text is not None and needed:
            yield Conflict(
                (name, "formulations"),
                f"formulations.{formula} without {name}",
                f"starting values {name}; zeros stay zero",
                f"add {name}, or delete formulations.{formula}",
            )
    if formulas.demographics and not formulas.random:
        yield Conflict(
            ("formulations",),
            "formulations.demographics without formulations.random",
            "random coefficients that demographics shift",
            "add formulations.random, or delete formulations.demographics",
        )
    if formulas.absorb_supply and not formulas.supply:
        yield Conflict(
            ("formulations",),
            "formulations.absorb_supply without formulations.supply",
            "a formula of marginal costs",
            "add formulations.supply, or delete formulations.absorb_supply",
        )


def _shapes(job: Job) -> Iterator[Conflict]:
    """Find a Sigma that is not square, and what has not as many rows as it."""
    if job.sigma is None:
        return
    K2 = len(job.sigma)
    if len(job.sigma[0]) != K2:
        yield Conflict(
            ("sigma",),
            f"sigma is {K2} x {len(job.sigma[0])}",
            "a square matrix, one row per random coefficient",
            "write every row out, with zeros where nothing is estimated",
        )
    if job.pi is not None and len(job.pi) != K2:
        yield Conflict(
            ("sigma", "pi"),
            f"pi has {_count(len(job.pi), 'row')}, sigma has {K2}",
            "a row of both per random coefficient",
            "add or delete rows",
        )
    if job.rc_types is not None and len(job.rc_types) != K2:
        yield Conflict(
            ("sigma", "rc_types"),
            f"rc_types has {_count(len(job.rc_types), 'entry', 'entries')}, "
            f"sigma has {_count(K2, 'row')}",
            "a type per random coefficient",
            "add or delete types, or leave rc_types out: all are linear",
        )


def _bound_shapes(job: Job) -> Iterator[Conflict]:
    """Find bounds of another shape than the parameters that they bound."""
    for name in type(job.bounds).model_fields:
        bound: Bound | None = getattr(job.bounds, name)
        values: Rows | None = getattr(job, name)
        if bound is None:
            continue
        if values is None:
            yield Conflict(
                ("bounds", name),
                f"bounds.{name} without {name}",
                "bounds on parameters that are given",
                f"add {name}, or delete bounds.{name}",
            )
            continue
        for side in ("lower", "upper"):
            rows: Rows | None = getattr(bound, side)
            if rows is not None and _shape(rows) not in ((1, 1), _shape(values)):
                yield Conflict(
                    ("bounds", name),
                    f"bounds.{name}.{side} is {_sizes(rows)}, {name} {_sizes(values)}",
                    "one number, or a matrix of the parameters' own shape",
                    f"change bounds.{name}.{side}; null is no bound",
                )


def _resamples(job: Job) -> Iterator[Conflict]:
    """Find nodes to be redrawn that no rule drew."""
    if job.solve.resample is None:
        return
    rule = job.solve.resample.integration or job.integration
    if rule is None and job.data.store:
        return  # a store may say how its nodes are drawn
    if rule is None:
        yield Conflict(
            ("solve", "integration"),
            "solve.resample without integration",
            "the rule that the nodes come from",
            "add integration to solve.resample, or delete solve.resample",
        )
    elif rule.specification not in SEEDED_RULES:
        yield Conflict(
            ("solve", "integration"),
            f"solve.resample of the rule {rule.specification}, which draws nothing",
            f"one of {', '.join(SEEDED_RULES)}",
            "delete solve.resample: a quadrature has no simulation error",
        )


def find_engine_conflicts(engine: EngineOptions) -> Iterator[Conflict]:
    """Find options of the engine that ask for two places at once."""
    ways = [
        name
        for name in ("workers", "scheduler", "scheduler_file")
        if getattr(engine, name) is not None
    ]
    if len(ways) > 1:
        yield Conflict(
            ("engine",),
            " and ".join(f"engine.{name}" for name in ways),
            "one of the three: workers that are started here, or a cluster's scheduler",
            "delete all but one",
        )
    clustered = engine.kind == "dask" or (engine.kind is None and ways)
    if engine.kind in ("serial", "threads") and ways:
        yield Conflict(
            ("engine",),
            f"engine.kind {engine.kind} with engine.{ways[0]}",
            "kind dask, or no workers and no scheduler",
            "delete one of the two",
        )
    if clustered and engine.threads is not None:
        yield Conflict(
            ("engine",),
            f"engine.threads = {engine.threads} with "
            f"{f'engine.{ways[0]}' if ways else 'engine.kind dask'}",
            "threads of this process, or workers of a cluster",
            "delete engine.threads, or say how many engine.workers",
        )
    if engine.worker_memory is not None and not (
        engine.workers or (engine.kind == "dask" and not ways)
    ):
        yield Conflict(
            ("engine",),
            "engine.worker_memory without engine.workers",
            "workers that are started for the run; those of a scheduler have their own",
            "add engine.workers, or delete engine.worker_memory",
        )


def _shape(rows: Rows) -> tuple[int, int]:
    """Count rows and columns."""
    return len(rows), len(rows[0])


def _sizes(rows: Rows) -> str:
    """Write a shape in words."""
    return " x ".join(map(str, _shape(rows)))


def _count(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"
