"""The IIA regression of a problem: :mod:`blpdask.analysis.iia` on its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.iia import IIARegression, iia_regression
from ..analysis.net_regression import COLLINEAR, independent_columns
from ..errors import Faults
from ..moments.weighting import COVARIANCE_TYPES, CovarianceType
from ..problem.differentiation import quadratic_instruments
from ..problem.fields import as_finite
from ..problem.lasso_penalty import partial_out
from ..records import Floats
from .problem_columns import ProblemColumns, problem_columns

if TYPE_CHECKING:
    from .dimensions import Dimensions


def compute_iia_regression(
    problem: Dimensions, instruments: Any = None, se_type: str | None = None
) -> IIARegression:
    """Regress the logit's mean utilities on X1 and distances from other products.

    Parameters
    ----------
    problem
        With its data in memory.
    instruments
        ``(N, Q)`` what should not matter under IIA, as
        ``build_differentiation_instruments`` makes it; where None, quadratic
        differentiation instruments in the characteristics of X2, or of X1 without X2,
        with prices replaced by their projection on the problem's instruments.
    se_type
        ``"robust"``, ``"clustered"`` or ``"unadjusted"``; where None, clustered where
        the problem has clusters, else robust.

    Raises
    ------
    BlpdaskError
        Where the rows are in a store.
    InputError
        With every fault of the arguments; where instruments are spanned by controls, or
        none is left for prices.
    """
    columns = problem_columns(problem, "the IIA regression")
    faults = Faults("IIA regression")
    kind = _kind(se_type, columns, faults)
    given = _given(instruments, columns, faults)
    faults.check()
    if given is None:
        given = _differentiation(columns)
    names, values = given
    A, _ = columns.net(values)
    kept = independent_columns(A)
    A = A[:, kept]
    X, _ = columns.net(columns.endogenous)
    Z, _ = columns.net_instruments(before=A)
    _check_left(columns, A, X, Z, kind, faults)
    faults.check()
    y, _ = columns.net(_logit_delta(columns)[:, None])
    tested = [name for name, k in zip(names, kept, strict=True) if k]
    return iia_regression(
        y[:, 0],
        X,
        A,
        Z,
        names=[*columns.endogenous_names, *tested],
        dropped=[name for name, k in zip(names, kept, strict=True) if not k],
        kind=kind,
        clusters=columns.products.clusters,
    )


def _kind(se_type: Any, columns: ProblemColumns, faults: Faults) -> CovarianceType:
    """Choose the covariances."""
    has_clusters = columns.products.clusters is not None
    if se_type is None:
        return "clustered" if has_clusters else "robust"
    if se_type not in COVARIANCE_TYPES:
        faults.add(
            f"se_type {se_type!r}",
            f"one of {', '.join(COVARIANCE_TYPES)}",
            "choose one",
        )
        return "robust"
    if se_type == "clustered" and not has_clusters:
        faults.add(
            "se_type 'clustered' without clusters",
            "a column clustering_ids in product_data",
            "add it, or choose 'robust'",
        )
    kind: CovarianceType = se_type
    return kind


def _given(
    instruments: Any, columns: ProblemColumns, faults: Faults
) -> tuple[list[str], Floats] | None:
    """Read instruments that are given, with their names."""
    if instruments is None:
        return None
    raw = np.asarray(instruments)
    raw = raw[:, None] if raw.ndim == 1 else raw
    N = columns.products.n_products
    if raw.ndim != 2 or raw.shape[0] != N or raw.shape[1] == 0:
        faults.add(
            f"instruments of shape {raw.shape}",
            f"({N}, Q): a row a product",
            "make them with build_differentiation_instruments",
        )
        return None
    labels = getattr(instruments, "columns", None)
    names = [f"instrument{q}" for q in range(raw.shape[1])]
    if labels is not None:
        names = [str(label) for label in labels]
    values = as_finite(raw, "instruments", faults)
    return None if values is None else (names, values)


def _differentiation(columns: ProblemColumns) -> tuple[list[str], Floats]:
    """Build distances in the characteristics that have random coefficients."""
    products = columns.products
    described = products.X2_columns or products.X1_columns
    matrix = products.X2 if products.X2_columns else products.X1
    kept = [k for k, c in enumerate(described) if c.names and "prices" not in c.names]
    values, names = [matrix[:, kept]], [described[k].name for k in kept]
    prices = products.ids.get("prices")
    if prices is not None and any("prices" in c.names for c in described):
        values.append(_predicted(np.asarray(prices, dtype=np.float64), columns))
        names.append("predicted prices")
    firms = products.ids.get("firm_ids")
    codes = np.arange(products.n_products, dtype=np.int64)
    if firms is not None:
        codes = np.unique(firms.astype(str), return_inverse=True)[1].astype(np.int64)
    found = quadratic_instruments(np.hstack(values), products.market_codes, codes)
    own = [f"distance from own, {name}" for name in names]
    return [*own, *(f"distance from rivals, {name}" for name in names)], found


def _predicted(prices: Floats, columns: ProblemColumns) -> Floats:
    """Project prices on instruments, exogenous columns and effects, ``(N, 1)``."""
    products = columns.products
    controls = np.hstack([columns.exogenous, columns.instruments])
    net = partial_out(prices, controls, products.effects, products.absorption)
    return np.asarray(prices - net.values)


def _logit_delta(columns: ProblemColumns) -> Floats:
    """Compute log S_j - log S_0, ``(N,)``."""
    products = columns.products
    inside = np.bincount(products.market_codes, weights=products.shares)
    outside = 1 - inside[products.market_codes]
    return np.asarray(np.log(products.shares) - np.log(outside))


def _identified(X: Floats, Z: Floats, A: Floats) -> bool:
    """Tell whether instruments move endogenous columns once A is taken out of both."""
    if Z.shape[1] < X.shape[1]:
        return False
    net = partial_out(np.hstack([X, Z]), A).values
    x, basis = np.split(net, [X.shape[1]], axis=1)
    lengths = np.linalg.norm(x, axis=0)
    fitted = np.linalg.qr(basis)[0].T @ (x / np.where(lengths > 0, lengths, 1.0))
    found = np.linalg.svd(fitted, compute_uv=False)
    return bool(found.size == 0 or found[-1] > COLLINEAR)


def _check_left(
    columns: ProblemColumns,
    A: Floats,
    X: Floats,
    Z: Floats,
    kind: CovarianceType,
    faults: Faults,
) -> None:
    """Check that there is something to test, and instruments for prices beside it."""
    if A.shape[1] == 0:
        faults.add(
            "instruments that X1 and absorbed effects span",
            "distances from other products that vary beyond those",
            "pass instruments of characteristics, or predicted prices, that do",
        )
    n = X.shape[1]
    if not _identified(X, Z, A):
        faults.add(
            f"{Z.shape[1]} instruments beside those tested for {n} endogenous columns "
            f"({', '.join(columns.endogenous_names)})",
            "instruments of prices, such as cost shifters, among the problem's, that "
            "are not tested",
            "add such instruments to demand_instruments0, …, or test fewer",
        )
    clusters = columns.products.clusters
    if kind == "clustered" and clusters is not None:
        count = int(clusters.max()) + 1
        if count <= A.shape[1]:
            faults.add(
                f"{count} clusters for {A.shape[1]} coefficients to test",
                "more clusters than those",
                "test fewer instruments, or choose se_type='robust'",
            )
