"""What must hold of the rows of a store, checked block by block while it is written.

The faults are those of :mod:`blpdask.problem.products` and of
:mod:`blpdask.problem.agents`, with the blocks and markets where they were found. They
are gathered over all blocks and reported together at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Faults
from ..partitions.store_schema import StoredColumn
from ..records import Floats, Integers
from .availability import AVAILABILITY, RULE, WRONG, wrong_availability
from .fields import matrix_columns, some
from .store_rows import BlockRows
from .supply_checks import MISSING_WEIGHTS, WEIGHTS_RULE, missing_weights

#: Examples that a message lists.
MOST = 8
_FINITE = (
    "finite numbers",
    "drop those rows, whole markets if shares must stay right, fill them in, or leave "
    "the column out with columns=",
)
_NUMERIC = ("shares", "prices", "weights")
_INSTRUMENTS = ("demand_instruments", "supply_instruments", "covariance_instruments")
_MATRICES = (*_INSTRUMENTS, "nodes", AVAILABILITY)


@dataclass(slots=True)
class Finding:
    """One kind of fault: how many, where, and examples."""

    expected: str
    remedy: str
    count: int = 0
    markets: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    n_markets: int = 0
    n_rows: int = 0


class Findings:
    """Faults of many blocks, brought together."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: dict[str, Finding] = {}

    def note(
        self,
        what: str,
        rule: tuple[str, str],
        *,
        block: int,
        count: int,
        markets: Sequence[Any],
        rows: Sequence[int] = (),
    ) -> None:
        """Note that a block breaks a rule (what is expected, what to do)."""
        finding = self._found.setdefault(what, Finding(*rule))
        finding.count += count
        finding.blocks.append(block)
        finding.n_markets += len(markets)
        finding.n_rows += len(rows)
        finding.markets += [str(m) for m in markets[: MOST - len(finding.markets)]]
        finding.rows += [int(row) for row in rows[: MOST - len(finding.rows)]]

    def report(self, faults: Faults) -> None:
        """Add every kind of fault once."""
        for what, finding in self._found.items():
            places = [f"markets {_listed(finding.markets, finding.n_markets)}"]
            if finding.rows:
                places.insert(0, f"rows {_listed(finding.rows, finding.n_rows)}")
            places.append(f"blocks {some(finding.blocks)}")
            faults.add(
                f"{finding.count} {what} ({'; '.join(places)})",
                finding.expected,
                finding.remedy,
            )


def check_columns(
    columns: Sequence[StoredColumn], required: Sequence[str], faults: Faults
) -> None:
    """Check that columns are there, and numeric where they must be."""
    names = [column.name for column in columns]
    for name in required:
        if name not in names:
            faults.add(
                f"no column '{name}' among {some(names)}",
                f"a column '{name}'",
                f"add it or rename the column that holds it to '{name}'",
            )
    for column in columns:
        matrix = column.name.rstrip("0123456789") in _MATRICES
        if column.kind == "text" and (matrix or column.name in _NUMERIC):
            faults.add(
                f"'{column.name}' that is not numeric ({column.dtype})",
                "numbers",
                f"convert '{column.name}' to numbers",
            )
        elif column.dtype.startswith("complex"):
            faults.add(
                f"'{column.name}' of complex numbers",
                "real numbers",
                "leave it out with columns=",
            )


def check_products(
    block: int,
    ids: np.ndarray[Any, Any],
    found: BlockRows,
    columns: Sequence[StoredColumn],
    findings: Findings,
) -> None:
    """Check the products of a block, whose markets have ``ids`` ``(T,)``."""
    codes = np.repeat(np.arange(ids.size), found.counts)
    named = named_columns(found, columns)
    ownership = matrix_columns(named, "ownership")
    check_finite(block, ids[codes], found, columns, findings, but=ownership)
    if ownership:
        weights = np.column_stack([named[name] for name in ownership])
        _check_weights(block, ids, codes, weights, found, findings)
    shares = np.asarray(named["shares"], dtype=np.float64)
    low = np.flatnonzero(shares <= 0)
    if low.size:
        findings.note(
            "shares that are zero or negative",
            (
                "shares between 0 and 1, exclusive",
                "drop those products or correct for zero sales before estimating: a "
                "logit share is never zero",
            ),
            block=block,
            count=low.size,
            markets=ids[np.unique(codes[low])].tolist(),
            rows=found.rows[low].tolist(),
        )
    full = ids[np.bincount(codes, shares, minlength=ids.size) >= 1]
    if full.size:
        findings.note(
            "markets whose shares sum to 1 or more",
            (
                "sums below 1: the outside good needs a share",
                "divide by a market size that includes the outside good",
            ),
            block=block,
            count=full.size,
            markets=full.tolist(),
        )
    for name in ("product_ids", "product_ids0"):
        if name in named:
            _check_duplicates(block, ids, codes, named[name], found, findings)


def check_agents(
    block: int,
    ids: np.ndarray[Any, Any],
    counts: Integers,
    found: BlockRows,
    columns: Sequence[StoredColumn],
    findings: Findings,
) -> None:
    """Check the agents of a block, whose markets have ``ids`` and J_t, ``(T,)``."""
    codes = np.repeat(np.arange(ids.size), found.counts)
    named = named_columns(found, columns)
    available = matrix_columns(named, AVAILABILITY)
    beyond = _beyond(named, counts[codes])
    check_finite(block, ids[codes], found, columns, findings, available, beyond)
    if not available:
        return
    values = np.column_stack([named[name] for name in available])
    wrong = np.flatnonzero(wrong_availability(values, counts[codes]))
    if wrong.size:
        findings.note(
            WRONG,
            RULE,
            block=block,
            count=wrong.size,
            markets=ids[np.unique(codes[wrong])].tolist(),
            rows=found.rows[wrong].tolist(),
        )


def check_finite(
    block: int,
    markets: np.ndarray[Any, Any],
    found: BlockRows,
    columns: Sequence[StoredColumn],
    findings: Findings,
    but: Collection[str] = (),
    beyond: Mapping[str, NDArray[np.bool_]] | None = None,
) -> None:
    """Check that numbers, but for some columns, or rows of columns, are finite.

    ``markets`` ``(N,)`` are the rows' own.
    """
    numbers = [column for column in columns if column.kind == "number"]
    for column, values in zip(numbers, found.numbers, strict=True):
        wrong = ~np.isfinite(values)
        if beyond is not None and column.name in beyond:
            wrong &= ~beyond[column.name]
        bad = np.flatnonzero(wrong)
        if bad.size and column.name not in but:
            findings.note(
                f"NaN or infinite values of '{column.name}'",
                _FINITE,
                block=block,
                count=bad.size,
                markets=list(dict.fromkeys(markets[bad])),
                rows=found.rows[bad].tolist(),
            )


def _beyond(named: Collection[str], sizes: Integers) -> dict[str, NDArray[np.bool_]]:
    """Flag agents of markets without a product that a numbered column may be for.

    Demographics that differ over products are columns ``name0``, ``name1``, …, of which
    a market of J products, ``sizes`` ``(A,)``, has J.
    """
    stems = {name[:-1] for name in named if name.endswith("0")} - set(_MATRICES)
    return {
        name: sizes <= j
        for stem in sorted(stems - set(named))
        for j, name in enumerate(matrix_columns(named, stem))
    }


def check_markets(
    product_markets: dict[Any, int], agent_markets: dict[Any, int], faults: Faults
) -> None:
    """Check that markets of products and of agents are the same."""
    unknown = [market for market in agent_markets if market not in product_markets]
    if unknown:
        faults.add(
            f"{len(unknown)} markets with agents but no products ({some(unknown)})",
            "products in every market that has agents",
            "drop those agents or add the products",
        )
    lonely = [market for market in product_markets if market not in agent_markets]
    if lonely:
        faults.add(
            f"{len(lonely)} markets with products but no agents ({some(lonely)})",
            "agents in every market that has products",
            "add agents for those markets or drop their products",
        )


def named_columns(
    found: BlockRows, columns: Sequence[StoredColumn]
) -> dict[str, Floats | Integers]:
    """Give the columns of a block by name, ``(N,)`` each; codes of text columns."""
    numbers, integers = iter(found.numbers), iter(found.integers)
    return {
        column.name: next(numbers if column.kind == "number" else integers)
        for column in columns
    }


def _check_weights(
    block: int,
    ids: np.ndarray[Any, Any],
    codes: Integers,
    ownership: np.ndarray[Any, Any],
    found: BlockRows,
    findings: Findings,
) -> None:
    """Check that ownership has a weight on each product of a market."""
    missing = np.flatnonzero(missing_weights(ownership, found.counts[codes]))
    if missing.size:
        findings.note(
            f"rows of {MISSING_WEIGHTS}",
            WEIGHTS_RULE,
            block=block,
            count=missing.size,
            markets=ids[np.unique(codes[missing])].tolist(),
            rows=found.rows[missing].tolist(),
        )


def _check_duplicates(
    block: int,
    ids: np.ndarray[Any, Any],
    codes: Integers,
    products: Floats | Integers,
    found: BlockRows,
    findings: Findings,
) -> None:
    """Check that no product is listed twice in a market."""
    order = np.lexsort((products, codes))
    same = (np.diff(codes[order]) == 0) & (np.diff(products[order]) == 0)
    again = order[1:][same]
    if again.size:
        findings.note(
            "products that are listed twice in a market",
            (
                "each of product_ids once a market",
                "merge duplicate rows; if product_ids is not an identifier of "
                "products, rename that column",
            ),
            block=block,
            count=again.size,
            markets=ids[np.unique(codes[again])].tolist(),
            rows=found.rows[again].tolist(),
        )


def _listed(examples: Sequence[Any], total: int) -> str:
    """List examples, and how many more there are."""
    more = f", … ({total - len(examples)} more)" if total > len(examples) else ""
    return ", ".join(map(str, examples)) + more
