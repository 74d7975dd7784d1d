"""Surveys of Nevo's data, and what blocks are told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from blpdask import MicroDataset, MicroMoment, MicroPart
from blpdask.api.micro_setup import MicroMoments, check_micro
from blpdask.api.micro_tables import market_tables
from blpdask.errors import Faults, InputError
from blpdask.records import MarketBlock
from tests.problem.surveyed import expand


def says(call: Any, *parts: str) -> InputError:
    with pytest.raises(InputError) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)
    return caught.value


def ones(t: Any, products: Any, agents: Any) -> Any:
    return np.ones((agents.size, 1 + products.size))


SURVEY = MicroDataset("survey", 1000, ones)
PART = MicroPart("p", SURVEY, ones)


def checked(problem: Any, moments: Sequence[MicroMoment]) -> MicroMoments:
    faults = Faults("solve")
    found = check_micro(moments, None, problem.outline.market_ids, 1, faults)
    faults.check()
    assert found is not None
    return found


def survey(
    problem: Any, moments: Sequence[MicroMoment], blocks: int | None = None
) -> tuple[MicroMoments, list[MarketBlock], Any]:
    """Give blocks what moments ask of them."""
    micro = checked(problem, moments)
    parameters = problem.outline.lay_out(
        sigma=np.diag(np.arange(problem.K2) < problem.outline.n_node_columns),
        pi=np.zeros((problem.K2, problem.D)),
        bounded=False,
        default_bounds=False,
    )
    markets = market_tables(problem.demand, parameters, problem._agent_data)
    prepared = problem.demand.prepare(
        blocks, lambda found: micro.survey(found, markets)
    )
    source = prepared.source
    return micro, [source.load(b) for b in range(len(source))], markets


def direct(function: Any, market: Any) -> Any:
    return np.asarray(function(market.market_id, market.products, market.agents))


def padded(values: Any, J: int) -> Any:
    return values if values.shape[1] > J else np.pad(values, ((0, 0), (1, 0)))


def check_blocks(micro: MicroMoments, blocks: Any, markets: Any) -> None:
    """Multiply functions out and compare with the user's own arrays."""
    layout = micro.setup.targets.layout
    for block in blocks:
        found = expand(block.surveys.functions, block)
        squares = expand(block.surveys.squares, block)
        for t in range(block.n_markets):
            market = markets(block.first_market + t)
            J, n = market.products.size, market.agents.size
            W, v = [], []
            for dataset in micro.datasets:
                inside = dataset.market_ids is None
                if inside or market.market_id in dataset.market_ids:
                    W.append(padded(direct(dataset.compute_weights, market), J))
                else:
                    W.append(np.zeros((n, 1 + J)))
            for part in micro.parts:
                d = micro.datasets.index(part.dataset)
                values = np.zeros((n, 1 + J))
                if W[d].any():
                    values = padded(direct(part.compute_values, market), J)
                v.append(values)
            expected = [W[d] * v[p] for p, d in enumerate(layout.datasets)] + W
            for f, values in enumerate(expected):
                np.testing.assert_allclose(found[t][f], values, rtol=2e-15, atol=0)
            for f, (p, q) in enumerate(layout.pairs):
                values = W[layout.datasets[p]] * v[p] * v[q]
                np.testing.assert_allclose(squares[t][f], values, rtol=4e-15, atol=0)


def moments_of(package: Any) -> list[Any]:
    """Several datasets and shapes, conditional means, and tables."""
    markets = ["C01Q1", "C03Q1"]
    everyone = package.MicroDataset(
        "everyone", 500, lambda t, p, a: np.ones((a.size, 1 + p.size))
    )
    buyers = package.MicroDataset(
        "buyers", 800, lambda t, p, a: np.ones((a.size, p.size)), market_ids=markets
    )
    odd = package.MicroDataset(
        "odd",
        300,
        lambda t, p, a: 1 + np.abs(np.sin(np.add.outer(a.nodes[:, 0], p.X2[:, 1]))),
    )

    def part(name: str, dataset: Any, function: Any) -> Any:
        return package.MicroPart(name, dataset, function)

    income_in = part(
        "income inside",
        everyone,
        lambda t, p, a: np.outer(a.demographics[:, 0], np.r_[0, np.ones(p.size)]),
    )
    inside = part(
        "inside",
        everyone,
        lambda t, p, a: np.outer(np.ones(a.size), np.r_[0, np.ones(p.size)]),
    )
    prices = part(
        "income prices",
        buyers,
        lambda t, p, a: np.outer(a.demographics[:, 0], p.prices),
    )
    sugar = part(
        "age sugar", buyers, lambda t, p, a: np.outer(a.demographics[:, 2], p.sugar)
    )
    ages = part(
        "age", buyers, lambda t, p, a: np.repeat(a.demographics[:, [2]], p.size, axis=1)
    )
    strange = part(
        "strange",
        odd,
        lambda t, p, a: np.cos(np.add.outer(a.nodes[:, 1], p.prices[:, 0])),
    )
    ratio = {
        "compute_value": lambda v: v[0] / v[1],
        "compute_gradient": lambda v: [1 / v[1], -v[0] / v[1] ** 2],
    }
    return [
        package.MicroMoment("E[income | inside]", 0.3, [income_in, inside], **ratio),
        package.MicroMoment("E[income prices]", 0.05, prices),
        package.MicroMoment("E[age sugar] / E[age]", 6.0, [sugar, ages], **ratio),
        package.MicroMoment("strange", 0.5, strange),
    ]
