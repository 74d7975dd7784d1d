"""Write a plan down: for people, or for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from .plan_advice import in_words

if TYPE_CHECKING:
    from .plan import JobPlan, PlannedBlock

_WIDTH = 16


def plan_json(plan: JobPlan) -> str:
    """Write a plan as JSON: bytes, seconds and operations, no units.

    Parameters
    ----------
    plan
        The plan.
    """
    return json.dumps(asdict(plan), indent=2)


def plan_text(plan: JobPlan) -> str:
    """Write a plan for people.

    Parameters
    ----------
    plan
        The plan.
    """
    lines = [
        f"Job {plan.name}: N={plan.N:,} products in T={plan.T:,} markets, "
        f"{plan.agents:,} agents",
        f"K1={plan.K1}, K2={plan.K2}, P={plan.P}, MD={plan.MD}"
        + (f", K3={plan.K3}, MS={plan.MS}" if plan.MS else ""),
        "",
    ]
    entries = _blocks(plan) | _machines(plan) | _memory(plan) | _time(plan)
    lines += [f"{name:<{_WIDTH}}{text}" for name, text in entries.items()]
    return "\n".join([*lines, *(f"\n* {advice}" for advice in plan.advice)])


def _blocks(plan: JobPlan) -> dict[str, str]:
    """Describe how markets are cut into blocks."""
    return {
        "blocks": f"{plan.blocks:,} of whole markets, {in_words(plan.memory.data)}",
        "  smallest": _block(plan.smallest),
        "  largest": _block(plan.largest),
    }


def _block(block: PlannedBlock) -> str:
    """Describe one block."""
    markets = "1 market" if block.markets == 1 else f"{block.markets:,} markets"
    return f"{markets}, {in_words(block.bytes)}, {block.cost:.2g} operations"


def _machines(plan: JobPlan) -> dict[str, str]:
    """Describe who works on the blocks, and what they hold."""
    machines, memory = plan.machines, plan.memory
    held, room = in_words(memory.held), in_words(machines.room)
    if machines.kind == "dask":
        each, most = in_words(machines.worker_memory), in_words(memory.busiest)
        found = {
            "workers": f"{machines.count:,} of one thread and {each} each",
            "  hold": f"{held} of blocks, up to {most} each; {room} each are for them",
        }
    else:
        found = {"threads": f"{machines.count:,} of this process"}
        found["  hold"] = f"{held} of blocks, which the data are cut into"
        if memory.from_store:
            found["  hold"] = f"{held} of blocks; there is room for {room}"
    if memory.from_store:
        again = in_words(memory.read_again)
        found["  read again"] = f"{again} at every evaluation"
    return found


def _memory(plan: JobPlan) -> dict[str, str]:
    """Describe what an evaluation leaves, and what this process needs."""
    memory, where = plan.memory, "stay in this process"
    if plan.machines.kind == "dask":
        where = "travel to this process" if memory.carried else "are written to disk"
    return {
        "an evaluation": f"adds up {in_words(memory.records)} of records",
        "  leaves": f"{in_words(memory.memories)} of memories, which {where}:",
        "": f"delta {in_words(memory.delta)}, its derivatives "
        f"{in_words(memory.delta_by_theta)}, factors {in_words(memory.factor)}"
        + (f", costs {in_words(memory.costs)}" if plan.MS else ""),
        "this process": f"about {in_words(memory.driver)}; this machine has "
        f"{in_words(plan.machines.memory)}",
    }


def _time(plan: JobPlan) -> dict[str, str]:
    """Describe how long evaluations take."""
    time, n = plan.time, len(plan.time.measured)
    blocks = "the cheapest block" if n == 1 else f"the {n} cheapest blocks"
    passes = f", {time.passes} passes over the blocks each" if time.passes > 1 else ""
    found = {
        "seconds": f"from {blocks}, evaluated here on one core",
        "  evaluation": f"{time.cold:.3g} from nothing, {time.warm:.3g} from the one "
        f"before, with gradient{passes}",
    }
    if time.reading:
        found["  of it reading"] = f"{time.reading:.3g}"
    return found | {"  a hundred": f"{time.hundred:.3g}"}
