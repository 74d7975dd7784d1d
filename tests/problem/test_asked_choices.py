"""Situations that people are asked about go with their people, block by block."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from blpdask.kernels.choice_answers import Situations
from blpdask.partitions.source import HeldBlocks
from blpdask.problem.asked_choices import AskedChoices, AskedPeople, AskedSituations
from tests.kernels.plain_choices import draw_people


@pytest.fixture
def source() -> AskedChoices:
    """Five people in blocks of two, two and one; the second and last are asked none."""
    people = HeldBlocks(
        [draw_people(n, 2, 1, 4, seed=n) for n in (2, 2, 1)], labels=["a", "b", "c"]
    )
    situations = Situations(
        X=np.arange(18.0).reshape(9, 2),
        situation_offsets=np.array([0, 2, 5, 7, 9]),
        person_offsets=np.array([0, 2, 2, 3, 4, 4]),
        slopes=np.empty((0, 2)),
    )
    asked = AskedSituations(
        situations=situations, codes=np.arange(9), values=np.empty(0)
    )
    return AskedChoices(people, asked)


def test_blocks_get_their_own_people_situations(source: AskedChoices) -> None:
    assert len(source) == 3
    blocks = [source.load(b) for b in range(3)]
    rows = [block.asked.codes.tolist() for block in blocks]
    assert rows == [[0, 1, 2, 3, 4], [5, 6, 7, 8], []]
    offsets = [b.asked.situations.situation_offsets.tolist() for b in blocks]
    assert offsets == [[0, 2, 5], [0, 2, 4], [0]]
    people = [b.asked.situations.person_offsets.tolist() for b in blocks]
    assert people == [[0, 2, 2], [0, 1, 2], [0, 0]]
    np.testing.assert_array_equal(
        np.concatenate([b.asked.situations.X for b in blocks]),
        np.arange(18.0).reshape(9, 2),
    )
    assert [b.block.n_people for b in blocks] == [2, 2, 1]
    assert "a" in source.describe(0)


def test_some_blocks_travel_without_the_others(source: AskedChoices) -> None:
    sent: AskedChoices = pickle.loads(pickle.dumps(source.only([1])))
    assert sent.name == source.name and len(sent) == 3
    found, expected = sent.load(1), source.load(1)
    assert isinstance(found, AskedPeople)
    np.testing.assert_array_equal(found.asked.codes, expected.asked.codes)
    np.testing.assert_array_equal(found.block.X, expected.block.X)
    assert sent.size(1) == source.size(1) > 0
    with pytest.raises(KeyError):
        sent.load(0)
    assert len(pickle.dumps(source.only([2]))) < len(pickle.dumps(source))


def test_names_tell_questions_apart(source: AskedChoices) -> None:
    other = AskedChoices(source._people, source._asked.of_people(0, 5))
    assert other.name == source.name
    asked = source._asked
    moved = AskedSituations(asked.situations, asked.codes, np.ones(9))
    assert AskedChoices(source._people, moved).name != source.name
