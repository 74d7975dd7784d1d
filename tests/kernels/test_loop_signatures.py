"""Each loop is compiled once, wherever what it is given comes from.

What must hold:

1. Arrays that may be written to and arrays that may not, whole ones and cut ones,
   options that are integers and options that are floats are all the same to a loop, in
   what it computes and in what it is compiled for.
2. So are blocks in memory, in threads, from a store and on workers.
3. What a loop only reads cannot be written to, and is copied only where it must be.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blpdask.kernels import (
    loop_conditions,
    loop_equilibrium,
    loop_logit,
    loop_markups,
    loop_responses,
    loop_sums,
)
from blpdask.kernels.loop_block import loop_block
from blpdask.kernels.loop_kept import KeptLoop, fingerprint_of_loops, only_read
from blpdask.records import InversionControls, InversionStart, TrialPrices
from tests.api.test_stored_supply import as_tables, on_store, quietly_solved
from tests.driver.clusters import cluster
from tests.kernels.test_nests import CASES, Nested, nested
from tests.references.drawn_nests import draw_nests
from tests.references.specifications import FIXED, build_here

#: Drawn problems: nests, availability and supply; and demand alone, without nests.
SEEDS = (10, 3)


def loops() -> dict[str, KeptLoop]:
    """Name all loops that are called from Python."""
    fingerprint = fingerprint_of_loops()
    return {
        "invert": loop_logit._compiled_invert(fingerprint),
        "shares": loop_logit._compiled_shares(fingerprint),
        "markups": loop_markups._compiled_markups(fingerprint),
        "conditions": loop_conditions._compiled_conditions(fingerprint),
        "equilibrium": loop_equilibrium._compiled_equilibrium(fingerprint),
        "jacobians": loop_responses._compiled_jacobians(fingerprint),
        "removals": loop_responses._compiled_removals(fingerprint),
        "sums": loop_sums._add_products,
    }


def count_signatures() -> dict[str, int]:
    """Count what each loop is compiled for in this process."""
    return {name: len(loop.compiled.signatures) for name, loop in loops().items()}


def whole(values: Any) -> Any:
    """Give an array of its own."""
    return values.copy()


def locked(values: Any) -> Any:
    """Give an array that may not be written to, as those of stores and of Dask."""
    view = values.view()
    view.flags.writeable = False
    return view


def cut(values: Any) -> Any:
    """Give every second element of a larger array, which are not side by side."""
    larger = np.zeros((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
    larger[..., ::2] = values
    return larger[..., ::2]


def misaligned(values: Any) -> Any:
    """Give an array that starts between two numbers."""
    room = np.empty(values.nbytes + 1, np.uint8)[1:]
    room[:] = np.frombuffer(values.tobytes(), np.uint8)
    return room.view(values.dtype).reshape(values.shape)


KINDS = {f.__name__: f for f in (whole, locked, cut, misaligned)}


def remade(record: Any, by: Callable[[Any], Any]) -> Any:
    """Give a record with other arrays of the same numbers."""
    if isinstance(record, np.ndarray):
        return by(record)
    if not dataclasses.is_dataclass(record) or isinstance(record, type):
        return record
    values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    return replace(record, **{k: remade(v, by) for k, v in values.items()})


def compute(example: Nested, by: Callable[[Any], Any]) -> list[Any]:
    """Call every loop with arrays of one kind."""
    give = partial(remade, by=by)
    block, tastes, beta = give(example.block), give(example.tastes), give(example.beta)
    start = give(InversionStart(block.logit_delta, np.empty(0)))
    found = [loop_logit.invert(block, tastes, start, InversionControls())]
    warm = give(InversionStart(found[0].delta, found[0].factor))
    counted = InversionControls("squarem", 1, 9, False, 3, 1, 1, 4)  # type: ignore[arg-type]
    found.append(loop_logit.invert(block, tastes, warm, InversionControls()))
    found.append(loop_logit.invert(block, tastes, warm, counted))
    delta, slopes = by(found[0].delta), by(found[0].delta_by_theta)
    shares = loop_logit.shares(block, tastes, delta)
    eta = loop_markups.markups(block, tastes, beta, delta, slopes, 2**26)
    plain = loop_markups.markups(block, tastes, beta, delta, slopes[:, :0], 2**26)
    trial = TrialPrices(
        prices=block.supply.prices,
        delta=delta,
        alpha=by(-np.ones(block.n_products)),
        X2=block.X2,
        X2_by_prices=block.supply.X2_by_prices,
        X2_priced=block.supply.X2_priced,
    )
    active = by(np.ones(block.n_markets, bool))
    rest = by(eta.eta), active, 2**26
    conditions = loop_conditions.conditions(block, tastes, trial, *rest)
    moved = loop_responses.jacobians(block, tastes, trial, 2**26)
    gone = loop_responses.removals(block, tastes, delta, 2**26)
    plain_block = replace(
        block, nests=None, availability=None, product_draws=None, product_columns=()
    )
    few = InversionControls("accelerated", 1e-13, 9)
    searched = loop_equilibrium.equilibrium(
        plain_block, tastes, trial, block.supply.prices, rest[0], few
    )
    assert searched is not None
    sums = loop_sums.accurate_product(block.draws, block.weights)
    fields = [dataclasses.astuple(r) for r in (*found, eta, plain, conditions)]
    ended = searched.prices, searched.conditions.zeta, searched.evaluations
    return [
        shares,
        sums,
        *moved,
        *gone,
        *ended,
        *(value for record in fields for value in record),
    ]


def same(found: list[Any], expected: list[Any]) -> bool:
    """Tell whether two lists of arrays have the same bits."""
    return [a.tobytes() for a in found] == [a.tobytes() for a in expected]


EXAMPLES: dict[str, dict[str, Any]] = {
    "everything": {**CASES["all"], "ownership": "weights"},
    "nests": {"ownership": "firms"},
    "neither": {"rho": (), "places": ()},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_kind_of_an_array_does_not_matter(name: str, kind: str) -> None:
    example = nested(**EXAMPLES[name])
    found = compute(example, KINDS[kind])
    assert len(found) == 9 + 3 * 6 + 2 * 2 + 3
    assert same(found, compute(example, np.array))


def tell(folder: str) -> None:
    """Compute all sorts of things; print how often each loop was compiled, and where.

    What a process of its own does, in which nothing else has called a loop.
    """
    told = {}
    for name, example in EXAMPLES.items():
        for kind in KINDS.values():
            compute(nested(**example), kind)
        told[name] = count_signatures()
    with cluster(1) as client:
        for seed in SEEDS:
            drawn = draw_nests(seed)
            specification = as_tables(drawn.specification)
            held = build_here(specification)
            stored = on_store(specification, Path(folder, str(seed)), blocks=3)
            for problem in (held, stored):
                for engine in ("serial", "threads", client):
                    given = {**drawn.solution, **FIXED, "engine": engine}
                    quietly_solved(problem, **given)
        (told["worker"],) = client.run(count_signatures).values()
    told["driver"] = count_signatures()
    print(json.dumps(told))


def test_every_loop_is_compiled_once(tmp_path: Path) -> None:
    code = f"from {__name__} import tell; tell({str(tmp_path)!r})"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    told = json.loads(said.stdout.splitlines()[-1])
    solving = {"invert": 1, "shares": 0, "markups": 1, "conditions": 0, "sums": 1}
    solving |= {"equilibrium": 0, "jacobians": 0, "removals": 0}
    everything = dict.fromkeys(loops(), 1)
    assert told == {
        **dict.fromkeys(EXAMPLES, everything),
        "driver": everything,
        "worker": solving,
    }


def test_what_is_read_is_a_view_that_cannot_be_written_to() -> None:
    block = loop_block(nested(**EXAMPLES["everything"]).block)
    block = type(block)(*map(np.array, block))
    for given, seen in zip(block, only_read(block), strict=True):
        assert given.size == 0 or np.shares_memory(given, seen)
        assert given.flags.writeable and not seen.flags.writeable
        np.testing.assert_array_equal(seen, given)
    assert type(only_read(block)) is type(block)


@pytest.mark.parametrize("kind", [cut, misaligned])
def test_what_lies_awkwardly_is_copied(kind: Callable[[Any], Any]) -> None:
    values = kind(np.arange(6.0).reshape(2, 3))
    seen = only_read(values)
    assert seen.flags.c_contiguous and seen.flags.aligned and not seen.flags.writeable
    assert not np.shares_memory(values, seen)
    np.testing.assert_array_equal(seen, values)


def test_numbers_stay_as_they_are() -> None:
    assert only_read(3) == 3 and only_read(True) is True
