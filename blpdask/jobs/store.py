"""Write the data of a job to a store, so that jobs can work on them block by block.

Parquet files are read in parts and simulated markets made a block at a time; neither is
ever held whole. Nodes are described, where the job has a rule for them: each market
then has a stream of its own. Or they are stored as the job draws them in memory, in one
stream through the markets, and the job finds the same numbers on its store.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import Faults
from .build import build_problem, check_shapes, configure
from .data import JobData, read_data, read_table
from .load import LoadedJob
from .resolve import resolve_job
from .run import quiet
from .schema import Job
from .simulated import market_design
from .sources import locate_source
from .yaml_text import write_yaml

if TYPE_CHECKING:
    import pandas as pd

    from ..api.integration import Integration
    from ..api.problem import Problem
    from ..api.stores import Store

Draws = Literal["described", "stored"]


@dataclass(frozen=True, slots=True)
class WrittenStore:
    """A store of a job's data.

    Attributes
    ----------
    store
        The store, open.
    problem
        The job's problem on it.
    advice
        What to write into the job file.
    """

    store: Store
    problem: Problem
    advice: str


def write_store(
    loaded: LoadedJob,
    output: Path,
    *,
    draws: Draws | None = None,
    blocks: int | None = None,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> WrittenStore:
    """Write the data of a job to a store, and try the job on it.

    Parameters
    ----------
    loaded
        The job and where its file is.
    output
        Directory of the store.
    draws
        Whether nodes are described by the job's rule or stored; where None, described
        if the job has a rule.
    blocks
        Number of blocks, chosen from the data where None.
    force
        Whether a store that is there may be replaced.
    progress
        Told of what is being done, every two seconds.

    Raises
    ------
    blpdask.errors.InputError
        With every fault of the data, or if they are in a store already.
    blpdask.errors.StoreError
        If something is there that may not be replaced.
    """
    directory = loaded.path.parent
    job = resolve_job(loaded.job, directory)
    output = output.absolute()
    rule = _check(job, draws, None if force else output)
    options = {"blocks": blocks, "overwrite": force, "progress": progress}
    with quiet():
        if draws == "stored" and rule is not None:
            store = _with_drawn_nodes(job, directory, output, options)
        else:
            store = _streamed(job, directory, output, rule, options)
    stored = _on_store(job, output, rule is not None and draws == "stored")
    try:
        with quiet():
            problem = build_problem(stored, JobData(products=store, agents=None))
        check_shapes(stored, problem)
    except Exception as error:
        error.add_note(f"The store {output} is there; the job does not fit it.")
        raise
    return WrittenStore(store, problem, _advice(loaded, stored, output))


def _check(job: Job, draws: Draws | None, new: Path | None) -> Integration | None:
    """Check what is asked for, and give the rule that nodes are drawn by."""
    faults = Faults("blpdask store")
    rule = configure(job, faults).integration
    if job.data.store is not None:
        faults.add(
            f"a job whose data are in a store: {job.data.store}",
            "tables, or a simulated truth",
            "copy that directory to have another",
        )
    if draws == "described" and rule is None:
        faults.add(
            "--draws described, and a job without integration",
            "a rule that can be described",
            "say --draws stored: the nodes in the agents' table are kept",
        )
    if new is not None and new.exists():
        faults.add(
            f"{new} exists",
            "the name of a new directory",
            "choose another with --output, or replace the store there with --force",
        )
    faults.check()
    return rule


def _streamed(
    job: Job,
    directory: Path,
    output: Path,
    rule: Integration | None,
    options: dict[str, Any],
) -> Store:
    """Write tables, or a simulated truth, a part at a time."""
    from ..api.stores import build_store, simulate_store

    if job.data.simulated is not None:
        design = market_design(job.data.simulated)
        return simulate_store(output, design, job.seed, integration=rule, **options)
    faults = Faults("data")
    tables: dict[str, Any] = {}
    for name in ("products", "agents"):
        source = getattr(job.data, name)
        if source is not None:
            path = locate_source(source.source, directory)
            parquet = path.suffix.lower() == ".parquet"
            tables[name] = path if parquet else read_table(path, name, faults)
    faults.check()
    return build_store(
        output, tables["products"], tables.get("agents"), integration=rule, **options
    )


def _with_drawn_nodes(
    job: Job, directory: Path, output: Path, options: dict[str, Any]
) -> Store:
    """Write tables with the nodes that the job draws in memory."""
    from ..api.stores import build_store

    data = read_data(job, directory)
    agents = _drawn_agents(build_problem(job, data), data.agents)
    return build_store(output, data.products, agents, **options)


def _drawn_agents(problem: Problem, table: pd.DataFrame | None) -> pd.DataFrame:
    """Make a table of a problem's nodes, beside what its agents' table has else.

    Each market keeps as many rows of the table as it has nodes, the first ones.
    """
    import pandas as pd

    drawn = problem.agents
    nodes = pd.DataFrame(drawn.nodes).add_prefix("nodes")
    nodes.insert(0, "market_ids", pd.Series(drawn.market_ids[:, 0]).infer_objects())
    nodes.insert(1, "weights", drawn.weights[:, 0])
    if table is None:
        return nodes
    nodes["place"] = nodes.groupby("market_ids").cumcount()
    others = table.drop(columns=[name for name in table if _is_node(str(name))])
    others["place"] = others.groupby("market_ids").cumcount()
    joined = nodes.merge(others, on=["market_ids", "place"], how="left")
    return joined.drop(columns="place")


def _is_node(name: str) -> bool:
    """Whether a column holds nodes or weights."""
    return name == "weights" or name.rstrip("0123456789") == "nodes"


def _on_store(job: Job, output: Path, has_nodes: bool) -> Job:
    """Give the job with a store in place of its data, and of its rule if it has nodes.

    Resamples go on to be drawn by that rule.
    """
    from .schema import DataOptions

    data = DataOptions(store=str(output))
    changes: dict[str, Any] = {"data": data, "record": None}
    if has_nodes:
        changes["integration"] = None
        resample = job.solve.resample
        if resample is not None and resample.integration is None:
            own = resample.model_copy(update={"integration": job.integration})
            changes["solve"] = job.solve.model_copy(update={"resample": own})
    return job.model_copy(update=changes)


def _advice(loaded: LoadedJob, stored: Job, output: Path) -> str:
    """Say what to change in the job file, and how to run it as it is."""
    near = Path(os.path.relpath(output, loaded.path.parent.absolute()))
    path = output if near.parts[:3] == ("..",) * 3 else near
    text = write_yaml({"data": {"store": path.as_posix()}}).strip()
    lines = [f"Put this in place of 'data' in {loaded.path}:", "", text, ""]
    changes = [f"data={{store: {output}}}"]
    integration = loaded.job.integration
    if integration is not None and stored.integration is None:
        lines += ["and delete 'integration': the nodes are in the store.", ""]
        changes += ["integration=null"]
        if loaded.job.solve.resample is not None:
            lines[-2] += " Resamples go on to\nneed it: put it under solve.resample."
    elif integration is not None:
        lines += ["'integration' may stay: the store describes the same nodes.", ""]
    words = "".join(f" --set {shlex.quote(change)}" for change in changes)
    lines += ["Or try it with the file as it is:", ""]
    return "\n".join([*lines, f"blpdask run {loaded.path}{words}"])
