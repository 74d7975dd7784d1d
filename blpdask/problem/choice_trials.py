"""What scores of choices are simulated with beside draws: trials, and sweeps.

Of a person of probability P the number of trials n of a roulette is geometric,
Pr(n >= k) = (1 - q)^k, with q = P / 2 so that variances are finite, but no less than
:data:`LEAST_CHANCE`: below, they may not be, and means of a thousand trials have to do.
All is drawn for people in their order, whatever the blocks are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..choice_records import ChoiceBlock
from ..integration.rules import Rule, RuleOptions
from ..moments.choice_scores import TRIALS, RouletteBlock, SweepBlock
from ..partitions.source import BlockSource, HeldBlocks
from ..records import Floats, Integers
from .choice_draws import draw_variates

#: The least chance with which a roulette ends after a trial.
LEAST_CHANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class _Trials:
    """Trials of people, before they are cut.

    ``counts`` (I, G) of each roulette, ``quits`` (I,) q, ``rows`` (I + 1,) first row of
    draws of each person, ``draws`` (rows, TRIALS, D), and ``uniforms`` as these without
    D, of no rows where not asked for.
    """

    counts: Integers
    quits: Floats
    rows: Integers
    draws: Floats
    uniforms: Floats


def make_roulettes(
    source: BlockSource,
    kinds: Sequence[str],
    chances: Floats,
    *,
    roulettes: int,
    seed: int,
    accept_reject: bool = False,
) -> HeldBlocks:
    """Draw trials of people who choose once.

    Parameters
    ----------
    source
        Blocks of people.
    kinds
        ``(D,)`` kinds of the random coefficients.
    chances
        ``(I,)`` about what P_i is.
    roulettes
        How many estimates of 1/P_i are averaged.
    seed
        Of trials and their numbers.
    accept_reject
        Whether trials are accepted or not, instead of with a probability.

    Returns
    -------
    HeldBlocks
        Of :class:`blpdask.moments.choice_scores.RouletteBlock`.
    """
    rng = np.random.default_rng([seed, 1])
    quits = np.clip(chances / 2.0, LEAST_CHANCE, 0.5)
    counts = rng.geometric(quits[:, None], (quits.size, roulettes)) - 1
    taken = np.maximum(-(-counts.sum(axis=1) // TRIALS), 1)
    rows = np.append(0, np.cumsum(taken))
    rule = Rule("monte_carlo", TRIALS, RuleOptions(seed=seed))
    n_uniform = int(rows[-1]) if accept_reject else 0
    trials = _Trials(
        counts=counts,
        quits=quits,
        rows=rows,
        draws=draw_variates(rule, kinds, int(rows[-1])),
        uniforms=rng.random((n_uniform, TRIALS)),
    )
    blocks, first = [], 0
    for place in range(len(source)):
        block: ChoiceBlock = source.load(place)
        blocks.append(_cut_trials(block, trials, first))
        first += block.n_people
    return HeldBlocks(blocks)


def make_sweeps(
    source: BlockSource, kinds: Sequence[str], *, size: int, sweeps: int, seed: int
) -> HeldBlocks:
    """Draw sweeps of ``size`` draws of people who choose several times.

    Returns
    -------
    HeldBlocks
        Of :class:`blpdask.moments.choice_scores.SweepBlock`.
    """
    plain = [source.load(place) for place in range(len(source))]
    n_people = sum(block.n_people for block in plain)
    rule = Rule("monte_carlo", size * sweeps, RuleOptions(seed=seed))
    draws = draw_variates(rule, kinds, n_people)
    uniforms = np.random.default_rng([seed, 1]).random((n_people, sweeps))
    blocks, first = [], 0
    for block in plain:
        own = slice(first, first + block.n_people)
        blocks.append(SweepBlock(_with_draws(block, draws[own]), uniforms[own]))
        first = own.stop
    return HeldBlocks(blocks)


def _with_draws(block: ChoiceBlock, draws: Floats) -> ChoiceBlock:
    """Give people other draws, all of one weight."""
    return ChoiceBlock(
        X=block.X,
        chosen=block.chosen,
        situation_offsets=block.situation_offsets,
        person_offsets=block.person_offsets,
        weights=block.weights,
        draws=draws,
        demographics=block.demographics,
    )


def _cut_trials(block: ChoiceBlock, trials: _Trials, first: int) -> RouletteBlock:
    """Take the trials of a block whose first person is ``first``."""
    own = slice(first, first + block.n_people)
    counts = trials.counts[own]
    rows = trials.rows[first : own.stop + 1] - trials.rows[first]
    drawn = slice(trials.rows[first], trials.rows[own.stop])
    totals = counts.sum(axis=1)
    places = np.repeat(rows[:-1] * TRIALS, totals) + _ranges(totals)
    sizes = counts.ravel()
    played = sizes > 0
    k = _ranges(sizes) + 1.0
    owners = np.repeat(np.arange(block.n_people), totals)
    uniforms = trials.uniforms[drawn].ravel()
    return RouletteBlock(
        choices=block,
        trials=_repeat_people(block, np.diff(rows), trials.draws[drawn]),
        trial_places=places,
        starts=(np.cumsum(sizes) - sizes)[played],
        people=np.repeat(np.arange(block.n_people), counts.shape[1])[played],
        steps=np.asarray(-k * np.log1p(-trials.quits[own])[owners], np.float64),
        uniforms=uniforms[places] if uniforms.size else uniforms,
        roulettes=counts.shape[1],
    )


def _repeat_people(block: ChoiceBlock, times: Integers, draws: Floats) -> ChoiceBlock:
    """Repeat people who choose once, each some ``times`` ``(I,)``."""
    people = np.repeat(np.arange(block.n_people), times)
    firsts, sizes = block.situation_offsets[people], np.diff(block.situation_offsets)
    offsets = np.append(0, np.cumsum(sizes[people]))
    rows = np.repeat(firsts, sizes[people]) + _ranges(sizes[people])
    demographics = block.demographics
    return ChoiceBlock(
        X=block.X[rows],
        chosen=offsets[:-1] + block.chosen[people] - firsts,
        situation_offsets=offsets,
        person_offsets=np.arange(people.size + 1),
        weights=np.ones(people.size),
        draws=draws,
        demographics=demographics[people] if len(demographics) else demographics,
    )


def _ranges(sizes: Integers) -> Integers:
    """Count from zero within each of runs of ``sizes``."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if ends.size else 0
    return np.arange(total) - np.repeat(ends - sizes, sizes)
