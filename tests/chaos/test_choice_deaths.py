"""Mixed logits while a worker dies: the bits of the calm serial run, and nothing lost.

A worker that dies takes its blocks, and the draws that it has made for them, with it;
another one makes the same draws again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import blpdask
from blpdask.driver.serial import SerialEngine
from tests.chaos.blows import Ambush, Phase, lying_in_wait, named
from tests.driver.clusters import has_ended
from tests.parity.test_choices import WAYS, differing, estimate, shop

pytestmark = pytest.mark.slow
#: Seconds that a death may cost.
STALL = 30.0
PHASES = {
    "squares of characteristics": Phase(named("attributes_pass")),
    "first evaluation": Phase(named("likelihood_pass")),
    "evaluation": Phase(named("likelihood_pass"), 6),
    "Hessian": Phase(named("likelihood_pass"), 30),
}
#: Where a search begins, so that every pass has all blocks of the mixed logit.
START = [0.0, 0.0, 0.5, 0.0, 0.5]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    frame = shop()
    path: Path = tmp_path_factory.mktemp("choices") / "store"
    return {
        "memory": frame,
        "store": blpdask.build_choice_store(path, frame, blocks=12),
    }


@pytest.fixture(scope="module")
def expected(data: dict[str, Any]) -> dict[str, Any]:
    return {
        way: estimate(data[way], SerialEngine(), size=4096, start=START) for way in WAYS
    }


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("way", WAYS)
def test_a_worker_killed_while_people_choose(
    way: str,
    phase: str,
    client: Any,
    data: dict[str, Any],
    expected: dict[str, Any],
    tmp_path: Path,
) -> None:
    if way == "memory" and phase == "squares of characteristics":
        pytest.skip("they are summed where choices are in a store")
    ambush = Ambush(PHASES[phase], tmp_path / "struck")
    with lying_in_wait(ambush):
        found = estimate(data[way], client, size=4096, start=START)
    assert ambush.struck is not None
    assert has_ended(ambush.struck)
    assert differing(found, expected[way]) == []
    assert max(ambush.seconds) < STALL
