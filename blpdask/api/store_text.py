"""What a store holds, in print, and how far a long build is."""

from __future__ import annotations

import html
import time
from collections.abc import Callable

from ..partitions.block_store import BlockStore
from ..results.text_tables import Header, text_table

#: Seconds between two messages.
SECONDS = 2.0


class Pace:
    """Pass messages on, one every two seconds at most, none before the first two.

    Examples
    --------
    >>> Pace(print)("Writing block 1 of 9")
    """

    def __init__(self, listener: Callable[[str], None] | None) -> None:
        """Pass messages to a listener, or to nobody."""
        self._listener = listener
        self._last = time.monotonic()

    def __call__(self, message: str) -> None:
        """Pass a message on where the time has come."""
        now = time.monotonic()
        if self._listener is not None and now - self._last >= SECONDS:
            self._listener(message)
            self._last = now


def store_text(store: BlockStore) -> str:
    """Print what a store holds."""
    header: list[Header] = ["T", "N", "I", "Blocks", "MB"]
    sizes = [*_sizes(store).values()]
    lines = [f"{name}: {value}" for name, value in _lines(store).items()]
    table = text_table(f"Store {store.path}", header, [sizes])
    return "\n".join([table, "", *lines])


def store_html(store: BlockStore) -> str:
    """Show what a store holds as HTML."""
    sizes = _sizes(store)
    top = "".join(f"<th>{name}</th>" for name in sizes)
    row = "".join(f"<td>{value}</td>" for value in sizes.values())
    lines = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in _lines(store).items()
    )
    return (
        f"<p>Store {html.escape(str(store.path))}</p>"
        f"<table><tr>{top}</tr><tr>{row}</tr></table><table>{lines}</table>"
    )


def _sizes(store: BlockStore) -> dict[str, str]:
    """Count what a store holds; bytes are those of its columns."""
    description = store.description
    n_products = sum(description.block_products)
    n_agents = sum(description.block_agents)
    n_bytes = 8 * n_products * (len(description.products) + 1)
    n_bytes += 8 * n_agents * len(description.agents)
    return {
        "T": str(description.n_markets),
        "N": str(n_products),
        "I": str(n_agents),
        "Blocks": str(len(store)),
        "MB": f"{n_bytes / 1e6:.1f}",
    }


def _lines(store: BlockStore) -> dict[str, str]:
    """Say which columns there are, how nodes are given, and the fingerprint."""
    description = store.description
    lines = {"Products": ", ".join(c.name for c in description.products)}
    if description.agents:
        lines["Agents"] = ", ".join(c.name for c in description.agents)
    nodes = description.nodes
    if nodes is not None:
        lines["Nodes"] = (
            f"drawn by market, {nodes.specification} of size {nodes.size} with the "
            f"seed {nodes.seed}"
        )
    lines["Fingerprint"] = store.fingerprint
    return lines
