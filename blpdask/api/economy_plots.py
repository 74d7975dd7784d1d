"""Pictures of substitution, of what firms earn, and of what a merger does to prices.

Matrices of one market are drawn as heat maps, row j and column k by product, in the
order of the data; distributions over all products as histograms. Matplotlib is the
extra ``plots``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..records import Floats
from ..results.merger_table import MergerEffects
from .plots import pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .economy_methods import EconomyMethods

#: Products up to which a heat map names each and writes its numbers.
NAMED = 12


def plot_matrix(
    values: Floats, names: list[str], title: str, ax: Axes | None, *, own: bool
) -> Axes:
    """Draw a market's matrix ``(J, J)`` as a heat map.

    Parameters
    ----------
    values
        Entry [j, k] is in row j, from the top.
    names
        Of the products.
    title
        What is drawn.
    ax
        Axes to draw on, new ones where None.
    own
        Whether the diagonal is of the same kind as the rest; if not, colours are those
        of the rest, and the diagonal is left white.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    BlpdaskError
        Where Matplotlib is not installed.
    """
    J = len(values)
    if ax is None:
        size = 2.5 + min(0.28 * J, 6.0)
        _, ax = pyplot().subplots(figsize=(size + 0.8, size), layout="constrained")
    shown = np.array(values)
    if not own:
        np.fill_diagonal(shown, np.nan)
    image = ax.imshow(shown, cmap="viridis", interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, shrink=0.8)
    if J <= NAMED:
        for j in range(J):
            for k in range(J):
                ax.text(k, j, f"{values[j, k]:.2g}", ha="center", va="center", size=7)
    if J <= 4 * NAMED:
        ax.set_xticks(range(J), names, rotation=90, size=7)
        ax.set_yticks(range(J), names, size=7)
    ax.set_title(title)
    return ax


def plot_histogram(values: Floats, label: str, ax: Axes | None) -> Axes:
    """Draw how a quantity is distributed over products, its median marked.

    Parameters
    ----------
    values
        ``(N,)``; what is not finite is left out.
    label
        What it is.
    ax
        Axes to draw on, new ones where None.
    """
    if ax is None:
        _, ax = pyplot().subplots(figsize=(6, 3), layout="constrained")
    finite = values[np.isfinite(values)]
    ax.hist(finite, bins="auto", color="tab:blue", alpha=0.8)
    median = float(np.median(finite))
    ax.axvline(median, color="black", linewidth=0.8, label=f"median {median:.4g}")
    ax.set_xlabel(label)
    ax.set_ylabel("products")
    ax.legend(frameon=False)
    return ax


def plot_price_changes(effects: MergerEffects, ax: Axes | None = None) -> Axes:
    """Draw how many per cent prices change, merging firms' and others'.

    Parameters
    ----------
    effects
        Of a merger.
    ax
        Axes to draw on, new ones where None.
    """
    if ax is None:
        _, ax = pyplot().subplots(figsize=(6, 3), layout="constrained")
    changes = 100 * (effects.new_prices / effects.prices - 1)
    edges = np.histogram_bin_edges(changes[np.isfinite(changes)], bins="auto")
    for rows, label in (
        (effects.merging, "merging firms"),
        (~effects.merging, "other firms"),
    ):
        ax.hist(changes[rows], bins=edges.tolist(), alpha=0.7, label=label)
    ax.axvline(0.0, color="grey", linewidth=0.8)
    ax.set_xlabel("change of prices, %")
    ax.set_ylabel("products")
    ax.legend(frameon=False)
    return ax


def market_matrix(
    results: EconomyMethods, matrices: Floats, market_id: Any
) -> tuple[Floats, list[str]]:
    """Give a market's matrix ``(J, J)``, and names of its products.

    Products are named by the first column of ``product_ids``, numbered where there are
    none.
    """
    products = results.estimated_economy("plot").demand.products
    J = len(matrices)
    ids = products.ids.get("product_ids")
    if ids is None:
        return matrices[:, :J], [str(j + 1) for j in range(J)]
    codes = products.market_codes
    (place,) = np.flatnonzero(products.unique_market_ids == market_id)[:1]
    first = ids.reshape(len(codes), -1)[codes == place, 0]
    return matrices[:, :J], [str(name) for name in first]
