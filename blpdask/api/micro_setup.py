"""From micro moments to what an estimator and blocks are told of them.

Parts that several moments share are computed once; datasets are numbered in the order
in which parts name them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from .. import options
from ..errors import Faults
from ..problem.fields import some
from ..problem.survey_arrays import (
    MarketFunction,
    Spread,
    SurveyDataset,
    SurveyLimits,
    SurveyPart,
)
from ..problem.survey_block import SurveyQuestions
from ..problem.survey_collinearity import ValueFactor, warn_of_collinear_parts
from ..problem.surveys import Markets, MicroSetup, survey_blocks
from ..records import MarketBlock
from ..results.micro_table import MicroLine, MicroSummary
from .micro import MicroDataset, MicroMoment, MicroPart, add_part_clashes
from .micro_targets import make_targets, warn_of_gradients
from .solve_checks import check_covariances


@dataclass(frozen=True, slots=True, eq=False)
class MicroMoments:
    """Micro moments that were checked.

    Attributes
    ----------
    moments, parts, datasets
        Each once.
    setup
        What an estimator is told.
    """

    moments: tuple[MicroMoment, ...]
    parts: tuple[MicroPart, ...]
    datasets: tuple[MicroDataset, ...]
    setup: MicroSetup

    @property
    def size(self) -> int:
        """Count the moments, MM."""
        return len(self.moments)

    @property
    def contents(self) -> tuple[Any, ...]:
        """What their numbers depend on beside blocks."""
        targets, moments = self.setup.targets, self.moments
        return (
            targets.layout,
            targets.values,
            targets.parts,
            [(m.compute_value, m.compute_gradient) for m in moments],
            self.setup.sample_covariances,
        )

    def describe(self) -> tuple[MicroSummary, ...]:
        """Say what is compared with what."""
        return tuple(
            MicroSummary(m.name, m.value, tuple(map(_describe_part, m.parts)))
            for m in self.moments
        )

    def survey(
        self,
        blocks: Sequence[MarketBlock],
        markets: Markets,
        limits: SurveyLimits | None = None,
        *,
        observed: bool = True,
    ) -> tuple[MarketBlock, ...]:
        """Evaluate what is asked of blocks, and check that it can be what was observed.

        Parameters
        ----------
        blocks
            All blocks.
        markets
            Gives the markets' tables.
        limits
            How much is evaluated and kept at once.
        observed
            Whether observed values mean anything.

        Raises
        ------
        InputError
            With every fault of the functions, or of the observed values.
        """
        surveyed = survey_blocks(blocks, self.questions(limits), markets)
        if observed:
            self.check_observed(surveyed.spreads)
            self.warn_of_collinearity(surveyed.factors)
        return surveyed.blocks

    def questions(self, limits: SurveyLimits | None = None) -> SurveyQuestions:
        """Give what blocks are asked, within limits."""
        return SurveyQuestions(
            datasets=tuple(
                SurveyDataset(
                    f"the micro dataset '{d.name}'",
                    cast("MarketFunction", d.compute_weights),
                    d.market_ids,
                    d.eliminated_product_ids_index,
                )
                for d in self.datasets
            ),
            parts=tuple(
                SurveyPart(
                    f"the micro part '{p.name}' on '{p.dataset.name}'",
                    self.datasets.index(p.dataset),
                    cast("MarketFunction", p.compute_values),
                )
                for p in self.parts
            ),
            layout=self.setup.targets.layout,
            limits=SurveyLimits() if limits is None else limits,
        )

    def check_observed(self, spreads: Sequence[Spread]) -> None:
        """Check that the model can give what was observed, and gradients of users'.

        Parameters
        ----------
        spreads
            ``(PM,)`` over what parts' values spread.

        Raises
        ------
        InputError
            With every observed value that no choices of any agents can give.
        """
        self._check_values(spreads)
        middles = np.array([(s.low + s.high) / 2 for s in spreads])
        warn_of_gradients(self.moments, self.setup.targets, middles)

    def warn_of_collinearity(self, factors: Mapping[int, ValueFactor]) -> None:
        """Warn of parts whose values are collinear, where those are known."""
        for d, factor in factors.items():
            own = [part.name for part in self.parts if part.dataset is self.datasets[d]]
            warn_of_collinear_parts(
                factor,
                own,
                self.datasets[d].name,
                options.collinear_atol,
                options.collinear_rtol,
            )

    def _check_values(self, spreads: Sequence[Spread]) -> None:
        """Refuse observed values that no choices of any agents can give."""
        faults = Faults("micro_moments")
        for m, moment in enumerate(self.moments):
            statistic = moment.statistic
            kind = None if statistic is None else statistic.kind
            spread = spreads[self.setup.targets.parts[m][0]]
            low, high = -np.inf, np.inf
            if spread.low > spread.high:
                faults.add(
                    f"a condition that holds nowhere in the micro moment "
                    f"'{moment.name}'",
                    "a formula 'given' that is one for some agents and choices",
                    "correct given, or weights or market_ids of the dataset",
                )
                continue
            if kind == "mean":
                low, high = spread.low, spread.high
            elif kind == "correlation":
                low, high = -1.0, 1.0
            elif kind == "variance":
                low = 0.0
            if not low <= moment.value <= high:
                faults.add(
                    f"value={moment.value:.6g} of the micro moment '{moment.name}'",
                    f"a number between {low:.6g} and {high:.6g}, over which the "
                    f"model's {kind} ranges",
                    "correct value, or the formulas or functions of its parts",
                )
        faults.check()


def check_micro(
    moments: Any,
    sample_covariances: Any,
    market_ids: np.ndarray[Any, Any],
    n_product_ids: int,
    faults: Faults,
) -> MicroMoments | None:
    """Check micro moments as far as that goes without calling functions.

    Parameters
    ----------
    moments
        Sequence of MicroMoment.
    sample_covariances
        ``(MM, MM)``, or None.
    market_ids
        ``(T,)`` of the problem.
    n_product_ids
        Columns of product_ids.
    faults
        What faults are added to.

    Returns
    -------
    MicroMoments
        None where there are no moments, or faults.
    """
    listed = isinstance(moments, Sequence) and not isinstance(moments, str)
    if not listed or not all(isinstance(m, MicroMoment) for m in moments):
        faults.add(
            f"micro_moments={moments!r}",
            "a sequence of MicroMoment",
            "pass a list of them, or leave micro_moments out",
        )
        return None
    if not moments:
        if sample_covariances is not None:
            faults.add(
                "micro_sample_covariances without micro_moments",
                "covariances of micro moments",
                "pass micro_moments too, or leave micro_sample_covariances out",
            )
        return None
    before = len(faults)
    parts = _unique(part for moment in moments for part in moment.parts)
    datasets = tuple(dict.fromkeys(part.dataset for part in parts))
    _check_moments(moments, faults)
    add_part_clashes(parts, faults)
    for dataset in datasets:
        check_dataset(dataset, market_ids, n_product_ids, faults)
    covariances = check_covariances(
        sample_covariances, "micro_sample_covariances", len(moments), faults
    )
    if len(faults) > before:
        return None
    targets = make_targets(moments, parts, datasets)
    return MicroMoments(
        tuple(moments), parts, datasets, MicroSetup(targets, covariances)
    )


def check_micro_use(
    faults: Faults,
    *,
    random: bool,
    continuous: bool,
    resampling: bool,
    typed: bool,
) -> None:
    """Refuse micro moments where this version, or the model, has none.

    Parameters
    ----------
    faults
        What faults are added to.
    random, continuous, resampling, typed
        Whether there are random coefficients, weights are updated continuously, agents
        are resampled, and shares of their types are given.
    """
    for wrong, found, expected, remedy in (
        (not random, "no agents", "random coefficients", "formulate X2"),
        (continuous, "method='cue'", "weights that are fixed in a step", "choose '2s'"),
        (
            resampling,
            "resample_agent_data",
            "agents that stay as they are",
            "leave resample_agent_data out",
        ),
        (
            typed,
            "type_shares",
            "agents whose weights are given",
            "leave type_shares out, and give agents weights times their type's share",
        ),
    ):
        if wrong:
            faults.add(f"micro_moments with {found}", expected, remedy)


def _unique(parts: Any) -> tuple[MicroPart, ...]:
    """List parts, each once."""
    found: dict[Any, MicroPart] = {}
    for part in parts:
        found.setdefault(part.key, part)
    return tuple(found.values())


def _check_moments(moments: Sequence[MicroMoment], faults: Faults) -> None:
    """Check that moments are listed once and have names of their own."""
    if len(set(moments)) < len(moments):
        faults.add("a micro moment that is listed twice", "each once", "list it once")
    names = [moment.name for moment in dict.fromkeys(moments)]
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        faults.add(
            f"micro moments that share a name ({some(repeated)})",
            "one name for each moment",
            "rename them",
        )


def check_dataset(
    dataset: MicroDataset,
    market_ids: np.ndarray[Any, Any],
    n_product_ids: int,
    faults: Faults,
) -> None:
    """Check that a dataset's markets and groups of products are there."""
    if dataset.market_ids is not None:
        known = set(market_ids.tolist())
        extra = sorted(map(str, dataset.market_ids - known))
        if extra:
            faults.add(
                f"{len(extra)} markets of the micro dataset '{dataset.name}' that are "
                f"not in the data ({some(extra)})",
                "market_ids of product_data",
                "correct market_ids of the dataset",
            )
    index = dataset.eliminated_product_ids_index
    if index is not None and index >= n_product_ids:
        faults.add(
            f"eliminated_product_ids_index={index} of the micro dataset "
            f"'{dataset.name}'",
            f"a number below {n_product_ids}, the columns of product_ids",
            "correct it, or leave it out",
        )


def _describe_part(part: MicroPart) -> MicroLine:
    """Say what is averaged, and where."""
    own = part.dataset.market_ids
    return MicroLine(
        part=part.name,
        dataset=part.dataset.name,
        observations=int(part.dataset.observations),
        n_markets=None if own is None else len(own),
    )
