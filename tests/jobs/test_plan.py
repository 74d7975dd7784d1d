"""A plan says what a run really does: blocks and bytes exactly, seconds about.

Runs are watched by an engine that measures every record and every memory.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import blpdask
from blpdask.cli import app
from blpdask.driver import dask_worker
from blpdask.driver.dask_engine import CARRIED_SOURCE_BYTES, DaskEngine
from blpdask.driver.serial import SerialEngine
from blpdask.errors import InputError
from blpdask.jobs import plan_time
from blpdask.jobs.build import build_problem, solve_arguments
from blpdask.jobs.plan import JobPlan, _parameters, _state, plan_job
from blpdask.jobs.plan_advice import advise
from blpdask.jobs.run import PreparedJob, prepare_job
from blpdask.moments.demand import demand_pass
from blpdask.partitions.residency import RESIDENT
from blpdask.partitions.source import count_bytes
from blpdask.progress import silent
from tests.driver.clusters import cluster

JOB = """
name: sizes
data:
  simulated: {markets: 60, products: [3, 20], agents: 90}
formulations:
  linear: "1 + prices + x1 + x2"
  random: "0 + prices + x1"
  demographics: "0 + demographic1"
sigma: [[0.4, 0], [0, 0.5]]
pi: [[0.1], [0]]
beta: [null, -2.4, null, null]
solve: {method: 1s, check_optimality: gradient}
engine: {kind: serial}
"""


class Watcher:
    """A serial engine that notes what passes over blocks give."""

    name = "serial"

    def __init__(self) -> None:
        self.records: list[int] = []
        self.memories: list[int] = []
        self.sizes: list[int] = []

    def place(self, blocks: Any) -> Any:
        self.sizes = [blocks.size(block) for block in range(len(blocks))]
        placement = SerialEngine().place(blocks)
        reduce = placement.reduce

        def watched(pass_: Any, state: Any, **names: Any) -> Any:
            def noting(*arguments: Any) -> Any:
                record, memory = pass_(*arguments)
                if pass_ is demand_pass:
                    self.records.append(count_bytes(record))
                    self.memories.append(count_bytes(memory))
                return record, memory

            return reduce(noting, state, **names)

        placement.reduce = watched
        return placement


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return path


def planned(path, *changes) -> tuple[PreparedJob, JobPlan]:
    prepared = prepare_job(path, changes)
    return prepared, plan_job(prepared.job, prepared.problem)


def test_blocks_and_bytes_are_those_of_a_run(path):
    prepared, plan = planned(path)
    watcher = Watcher()
    arguments = solve_arguments(prepared.job) | {"engine": watcher}
    arguments["optimization"] = blpdask.Optimization("return")
    results = prepared.problem.solve(**arguments, progress=silent)
    B = len(watcher.sizes)
    assert plan.P == results.theta.size == 4
    assert plan.blocks == B > 1
    assert plan.memory.data == plan.memory.held == sum(watcher.sizes)
    assert plan.memory.read_again == 0
    assert plan.memory.records == sum(watcher.records[:B])
    assert plan.memory.memories == sum(watcher.memories[:B])
    assert plan.memory.delta == 8 * plan.N
    assert plan.memory.delta_by_theta == 8 * plan.N * 3
    assert plan.memory.factor > 8 * plan.N
    sizes = sorted(watcher.sizes)
    assert sizes[0] <= plan.smallest.bytes <= plan.largest.bytes <= sizes[-1]
    problem = prepared.problem
    assert (plan.N, plan.T, plan.agents) == (problem.N, problem.T, problem.I)
    assert (plan.K1, plan.K2, plan.MD) == (problem.K1, problem.K2, problem.MD)


def stored(prepared: PreparedJob, folder: Any) -> blpdask.Problem:
    data, formulas = prepared.data, prepared.job.formulations
    store = blpdask.build_store(folder / "store", data.products, data.agents, blocks=9)
    return blpdask.Problem(
        [blpdask.Formulation(formulas.linear), blpdask.Formulation(formulas.random)],
        store,
        blpdask.Formulation(formulas.demographics),
    )


@pytest.mark.parametrize("share", [0.0, 0.5, 2.0])
def test_what_does_not_fit_is_what_is_read_again(path, tmp_path, monkeypatch, share):
    prepared = prepare_job(path)
    problem = stored(prepared, tmp_path)
    source = problem.prepare(SerialEngine(), silent).source
    data = sum(source.size(block) for block in range(len(source)))
    RESIDENT.drop(lambda owner: True)
    monkeypatch.setattr(RESIDENT, "budget", int(share * data))
    plan = plan_job(prepared.job, problem)
    assert plan.memory.from_store and plan.memory.data == data
    RESIDENT.drop(lambda owner: owner == source.name)
    placement, state = SerialEngine().place(source), state_of(prepared, problem)
    read = []
    for _ in range(3):
        before = RESIDENT.read_bytes
        placement.reduce(demand_pass, state)
        read.append(RESIDENT.read_bytes - before)
    assert read == [data, plan.memory.read_again, plan.memory.read_again]
    assert RESIDENT.held_bytes == plan.memory.held
    assert (plan.time.reading > 0) == (share < 1)
    RESIDENT.drop(lambda owner: owner == source.name)


def test_workers_hold_and_read_what_is_planned(path, tmp_path, monkeypatch):
    share = 5e-5
    monkeypatch.setattr(dask_worker, "RESIDENT_SHARE", share)
    prepared, _ = planned(path)
    problem = stored(prepared, tmp_path)
    changes = ["engine.kind=dask", "engine.workers=2", "engine.worker_memory=2GiB"]
    job = prepare_job(path, changes).job
    plan = plan_job(job, problem)
    assert plan.machines.room == int(share * 2 * 2**30)
    assert 0 < plan.memory.held < plan.memory.data
    with cluster(2) as client:

        def narrow() -> None:
            dask_worker.RESIDENT_SHARE = share

        client.run(narrow)
        source = problem.prepare(SerialEngine(), silent).source
        placement = DaskEngine(client).place(source)
        read = []
        for _ in range(3):
            placement.reduce(demand_pass, state_of(prepared, problem))
            figures = placement.figures().values()
            read.append(sum(worker.read_bytes for worker in figures))
        assert sum(worker.held_bytes for worker in figures) == plan.memory.held
        assert read[0] == plan.memory.data
        assert np.diff(read).tolist() == [plan.memory.read_again] * 2
        placement.close()
    RESIDENT.drop(lambda owner: owner == source.name)


def state_of(prepared: PreparedJob, problem: blpdask.Problem) -> Any:
    arguments = solve_arguments(prepared.job)
    prepared_demand = problem.prepare(SerialEngine(), silent)
    parameters = _parameters(problem, arguments)
    return _state(problem, parameters, prepared_demand, arguments)


def test_seconds_are_about_those_of_a_run(path):
    """Printed; a shared machine is too noisy for bounds that would mean much."""
    sizes = ["data.simulated.markets=600", "data.simulated.agents=300"]
    prepared, plan = planned(path, *sizes, "solve.check_optimality=both")
    events: list[Any] = []
    prepared.problem.solve(**solve_arguments(prepared.job), progress=events.append)
    seconds = [event.seconds for event in events if hasattr(event, "theta")]
    later = float(np.mean(seconds[1:]))
    print(
        f"planned {plan.time.cold:.3f} s from nothing, {plan.time.warm:.3f} s after; "
        f"the run took {seconds[0]:.3f} s, then {later:.3f} s on average"
    )
    assert 0 < plan.time.warm < plan.time.hundred
    assert plan.time.hundred == pytest.approx(plan.time.cold + 99 * plan.time.warm)
    assert plan.time.passes == 1


def test_more_workers_take_less_and_finite_differences_more(path, monkeypatch):
    timing = plan_time._Timing(reading=0.0, cold=2.0, warm=1.0)
    monkeypatch.setattr(plan_time, "_measure", lambda *given: [timing])
    seconds = {}
    for count in (1, 4):
        plan = planned(path, "engine.kind=dask", f"engine.workers={count}")[1]
        seconds[count] = plan.time.warm - 0.015
        assert plan.machines.worker_memory == pytest.approx(
            0.8 * plan.machines.memory / count, rel=1e-9
        )
    # One worker has all the operations, of which the cheapest block takes a second.
    assert seconds[1] >= plan.blocks
    assert seconds[4] < seconds[1]
    differences = planned(path, "solve.finite_differences=true")[1]
    assert differences.time.passes == 1 + 2 * 3


def test_advice_names_what_does_not_fit(path):
    engine = ("engine.kind=dask", "engine.workers=4", "engine.worker_memory=2GiB")
    plan = planned(path, *engine)[1]
    large = 3 * CARRIED_SOURCE_BYTES
    memory = replace(plan.memory, data=large, held=large, busiest=large // 4)
    text = " ".join(advise(replace(plan, memory=memory, blocks=100)))
    assert "3.00 GiB of blocks, and at most 1.00 GiB travel" in text
    assert "about 5 workers of 2.00 GiB or 4 of 2.14 GiB to hold all blocks" in text
    reading = replace(memory, from_store=True, held=large - 2**20, read_again=2**20)
    text = " ".join(advise(replace(plan, memory=reading, blocks=100)))
    assert "Workers read 1.00 MiB again at every evaluation" in text
    assert "travel" not in text
    small = replace(plan.machines, worker_memory=2**28, count=100)
    text = " ".join(advise(replace(plan, machines=small)))
    assert "has too little for itself" in text
    assert f"at most {plan.blocks} of the 100 workers have work" in text
    assert "belong on several machines" in text
    driver = replace(plan.memory, driver=plan.machines.memory)
    assert "This process will need" in advise(replace(plan, memory=driver))[0]
    assert planned(path)[1].advice == ()


def test_a_scheduler_is_not_asked(path):
    with pytest.raises(InputError, match="--workers 16 --worker-memory 8GiB"):
        planned(path, "engine.kind=dask", "engine.scheduler=tcp://nowhere:1")


def test_the_command_writes_text_or_json_and_no_files(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    arguments = ["plan", str(path), "--workers", "2", "--worker-memory", "3GiB"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    for part in ("Job sizes: N=", "2 of one thread and 3.00 GiB each", "a hundred"):
        assert part in result.stdout
    result = CliRunner().invoke(app, [*arguments, "--format", "json"])
    found = json.loads(result.stdout)
    assert found["machines"]["room"] == int(0.35 * 3 * 2**30)
    assert found["memory"]["carried"] is True
    assert sorted(tmp_path.iterdir()) == before


def test_plain_logit_is_planned(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(
        'name: logit\ndata:\n  simulated: {markets: 20}\nformulations: {linear: "1 + '
        'prices + x1 + x2"}\n'
    )
    prepared, plan = planned(path)
    assert (plan.K2, plan.P, plan.memory.factor) == (0, 0, 0)
    assert plan.memory.memories == plan.memory.delta == 8 * plan.N
    assert build_problem(prepared.job, prepared.data).N == plan.N
