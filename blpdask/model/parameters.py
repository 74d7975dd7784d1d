"""Where θ sits in Σ, Π, ρ, λ, φ, β and γ.

θ stacks the free entries of Σ (lower triangle, row by row), of Π (row by row), of ρ, of
the shares λ of agents' types (:mod:`.type_shares`), of φ (row by row), of β and of γ:

    u_ij = δ_j + μ_ij + ε_ij,   μ_ij = Σ_k x_jk g_k((Σν_i)_k + (Πd_i)_k)

(Nevo 2000, equation 2; Conlon and Gortmaker 2020, section 2), where with nests ε_ij is
correlated within nest h by ρ_h, one number for all nests or one each, and errors of the
two equations are autocorrelated by φ (:mod:`blpdask.moments.lags`), which moves no δ.
An entry of Σ, Π, ρ, λ or φ that is zero at the start stays zero, an entry with equal
bounds stays at its value, and an entry of β or γ that is NaN is concentrated out of the
objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers, Tastes
from .linear_places import LinearPlaces
from .type_shares import (
    check_share_bounds,
    complete_shares,
    last_free,
    read_type_shares,
    shares_by_theta,
    within_simplex,
)

MatrixName = Literal["sigma", "pi", "rho", "type_shares", "phi", "beta", "gamma"]
LINEAR: tuple[MatrixName, ...] = ("beta", "gamma")
#: How far from one ρ stays where it has no bounds of its own, as in PyBLP.
LARGEST_RHO = 0.99
TYPE_CODES = {"linear": 0, "log": 1, "logit": 2}


class Entry(NamedTuple):
    """One parameter: the matrix it belongs to, its row and its column."""

    matrix: MatrixName
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Matrices:
    """Σ, Π, ρ, β, γ, φ and λ: values, their errors or bounds.

    ``sigma`` (K2, K2), ``pi`` (K2, D), ``rho`` (1, 1), (H, 1) or (0, 1), ``beta`` (K1,
    1), ``gamma`` (K3, 1), ``phi`` (E, E), or (E, 0) where errors have no lags, of E
    equations, ``type_shares`` (R, 1), or (0, 1) where none are given.
    """

    sigma: Floats
    pi: Floats
    rho: Floats
    beta: Floats
    gamma: Floats
    phi: Floats = field(default_factory=lambda: np.empty((1, 0)))
    type_shares: Floats = field(default_factory=lambda: np.zeros((0, 1)))

    @property
    def linear(self) -> Floats:
        """Stack β and γ, ``(K1 + K3, 1)``."""
        return np.vstack([self.beta, self.gamma])

    def __getitem__(self, entry: Entry) -> float:
        """Read the entry of one parameter."""
        matrix: Floats = getattr(self, entry.matrix)
        return float(matrix[entry.row, entry.column])


@dataclass(frozen=True, slots=True)
class Parameters:
    """The layout of θ, with the values where a solve starts.

    Attributes
    ----------
    start
        Starting values; NaN in β and γ marks what is concentrated out.
    lower, upper
        Bounds, infinite where there is none.
    free
        Entries of θ in order: Σ, Π, ρ, λ, φ, β, then γ.
    fixed
        Entries held at their starting values.
    node_columns
        ``(n,)`` column of Σ that each of the first n columns of nodes belongs to.
    n_node_columns
        Columns of nodes that agents have, of which those after the first n are unused.
    types
        ``(K2,)`` codes of :data:`TYPE_CODES`.
    priced
        ``(K1,)`` whether a column of X1 depends on prices.
    sigma_labels, pi_labels, beta_labels, gamma_labels
        Names of the rows of Σ, the columns of Π and the rows of β and γ.
    rho_labels
        Names of the H nests.
    type_labels
        Names of the R types of agents, none where λ is not given.
    """

    start: Matrices
    lower: Matrices
    upper: Matrices
    free: tuple[Entry, ...]
    fixed: tuple[Entry, ...]
    node_columns: tuple[int, ...]
    n_node_columns: int
    types: tuple[str, ...]
    priced: tuple[bool, ...]
    sigma_labels: tuple[str, ...]
    pi_labels: tuple[str, ...]
    beta_labels: tuple[str, ...]
    gamma_labels: tuple[str, ...] = ()
    rho_labels: tuple[str, ...] = ()
    type_labels: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Count the parameters in θ, P."""
        return len(self.free)

    @property
    def n_nonlinear(self) -> int:
        """Count the free entries of Σ, Π, ρ and λ, which come first in θ."""
        return sum(entry.matrix not in LINEAR for entry in self.free) - self.n_phi

    @property
    def n_phi(self) -> int:
        """Count the free entries of φ, which follow those."""
        return sum(entry.matrix == "phi" for entry in self.free)

    @property
    def phi_labels(self) -> tuple[str, ...]:
        """Name the rows and columns of φ as PyBLP does."""
        return ("Xi", "Omega") if self.gamma_labels else ("Xi",)

    @property
    def concentrated(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Flag the rows of β and γ that are concentrated out, ``(K1 + K3,)``."""
        return np.isnan(self.start.linear[:, 0])

    @property
    def last_type(self) -> int | None:
        """Say which type's share is what others leave; None where all are fixed."""
        return last_free(self.lower.type_shares, self.upper.type_shares)

    @property
    def linear_labels(self) -> tuple[str, ...]:
        """Name the rows of β and γ."""
        return self.beta_labels + self.gamma_labels

    @property
    def places(self) -> LinearPlaces:
        """Say where free entries of β and γ are in θ."""
        rows = [
            np.array([e.row for e in self.free if e.matrix == name], np.int64)
            for name in LINEAR
        ]
        priced = np.flatnonzero(np.array(self.priced, np.bool_)[rows[0]])
        return LinearPlaces(self.n_nonlinear, tuple(rows), priced, self.n_phi)

    @property
    def theta(self) -> Floats:
        """Stack the starting values of θ, ``(P,)``."""
        return np.array([self.start[entry] for entry in self.free], np.float64)

    @property
    def bounds(self) -> Floats:
        """Stack lower and upper bounds of θ, ``(P, 2)``."""
        pairs = [(self.lower[entry], self.upper[entry]) for entry in self.free]
        return np.array(pairs, np.float64).reshape(-1, 2)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name the parameters of θ as PyBLP does, ``"row x column"``."""
        return tuple(self._label(entry) for entry in self.free)

    def _label(self, entry: Entry) -> str:
        if entry.matrix in LINEAR:
            rows = self.beta_labels if entry.matrix == "beta" else self.gamma_labels
            return rows[entry.row]
        if entry.matrix == "rho":
            one = self.start.rho.size == 1
            return "All Groups" if one else self.rho_labels[entry.row]
        if entry.matrix == "type_shares":
            return f"share of {self.type_labels[entry.row]}"
        if entry.matrix == "phi":
            return f"{self.phi_labels[entry.row]} on {self.phi_labels[entry.column]}"
        columns = self.sigma_labels if entry.matrix == "sigma" else self.pi_labels
        return f"{self.sigma_labels[entry.row]} x {columns[entry.column]}"


def expand(parameters: Parameters, theta: Floats) -> Matrices:
    """Put θ ``(P,)`` into all matrices; what is concentrated out stays NaN."""
    start = parameters.start
    matrices = Matrices(
        start.sigma.copy(),
        start.pi.copy(),
        start.rho.copy(),
        start.beta.copy(),
        start.gamma.copy(),
        start.phi.copy(),
        type_shares=start.type_shares.copy(),
    )
    _fill(matrices, parameters.free, theta)
    complete_shares(matrices.type_shares, parameters.last_type)
    return matrices


def spread(parameters: Parameters, values: Floats) -> Matrices:
    """Put numbers ``(P,)``, say standard errors, where θ sits, and NaN elsewhere."""
    start = parameters.start
    matrices = Matrices(
        *(
            np.full_like(m, np.nan)
            for m in (
                *(start.sigma, start.pi, start.rho),
                *(start.beta, start.gamma, start.phi, start.type_shares),
            )
        )
    )
    _fill(matrices, parameters.free, values)
    return matrices


def within_one(parameters: Parameters, points: Floats) -> Floats:
    """Scale shares of types down where, at points ``(S, P)``, they leave none.

    The last type then has half of what it has at the start.
    """
    own = [p for p, e in enumerate(parameters.free) if e.matrix == "type_shares"]
    last = parameters.last_type
    if last is None or not own:
        return points
    shares = parameters.theta[own].sum()
    most = shares + parameters.start.type_shares[last, 0] / 2
    found = points.copy()
    found[:, own] = np.abs(found[:, own])
    sums = found[:, own].sum(axis=1)
    found[:, own] *= np.minimum(1.0, most / np.maximum(sums, most))[:, None]
    return found


def tastes_at(parameters: Parameters, theta: Floats) -> Tastes:
    """Express θ ``(P,)`` as loadings Γ = [Σ | Π] of draws on coefficients, ρ and λ."""
    matrices = expand(parameters, theta)
    node_columns = list(parameters.node_columns)
    n_nodes = parameters.n_node_columns
    K2, D = matrices.pi.shape
    loadings = np.zeros((K2, n_nodes + D))
    loadings[:, : len(node_columns)] = matrices.sigma[:, node_columns]
    loadings[:, n_nodes:] = matrices.pi
    entries = [e for e in parameters.free if e.matrix in ("sigma", "pi")]
    columns = [
        node_columns.index(entry.column)
        if entry.matrix == "sigma"
        else n_nodes + entry.column
        for entry in entries
    ]
    return Tastes(
        loadings=loadings,
        types=np.array([TYPE_CODES[name] for name in parameters.types], np.int64),
        rows=np.array([entry.row for entry in entries], np.int64),
        columns=np.array(columns, np.int64),
        rho=np.resize(matrices.rho[:, 0], len(parameters.rho_labels)),
        rho_places=_rho_places(parameters),
        type_shares=matrices.type_shares[:, 0],
        shares_by_theta=shares_by_theta(
            len(parameters.type_labels),
            np.array(
                [e.row for e in parameters.free if e.matrix == "type_shares"], np.int64
            ),
            parameters.last_type,
        ),
    )


def _rho_places(parameters: Parameters) -> Integers:
    """Give the place of each nest's ρ among the free ones, -1 where it is fixed."""
    rows = [e.row for e in parameters.free if e.matrix == "rho"]
    places = np.full(parameters.start.rho.size, -1)
    places[rows] = np.arange(len(rows))
    return np.resize(places, len(parameters.rho_labels)).astype(np.int64)


def lay_out(
    *,
    sigma: object,
    pi: object,
    rho: object = None,
    phi: object = None,
    beta: object,
    gamma: object = None,
    sigma_bounds: object,
    pi_bounds: object,
    rho_bounds: object = None,
    phi_bounds: object = None,
    beta_bounds: object,
    gamma_bounds: object = None,
    types: Sequence[str],
    n_node_columns: int,
    sigma_labels: Sequence[str],
    pi_labels: Sequence[str],
    rho_labels: Sequence[str] = (),
    beta_labels: Sequence[str],
    gamma_labels: Sequence[str] = (),
    priced: Sequence[bool] = (),
    lagged: bool = False,
    bounded: bool,
    default_bounds: bool,
    type_shares: object = None,
    type_shares_bounds: object = None,
    type_labels: Sequence[str] = (),
) -> Parameters:
    """Check starting values and bounds and lay θ out.

    Parameters
    ----------
    sigma, pi, rho, phi, beta, gamma
        Starting values as a user types them: ``(K2, K2)``, ``(K2, D)``, a number or
        ``(H,)``, a number or with a supply side ``(2, 2)``, ``(K1,)``, ``(K3,)``.
    sigma_bounds, pi_bounds, rho_bounds, phi_bounds, beta_bounds, gamma_bounds
        Pairs of matrices of those shapes, or None.
    types
        ``"linear"``, ``"log"`` or ``"logit"`` for each random coefficient.
    n_node_columns
        Columns of integration nodes in the agent data.
    rho_labels
        Names of the H nests, none without nests.
    gamma_labels
        Names of the columns of X3, none without a supply side.
    priced
        ``(K1,)`` whether a column of X1 depends on prices, none by default; with a
        supply side such coefficients cannot be concentrated out.
    lagged
        Whether rows have lags, so that errors have φ.
    bounded
        Whether the optimiser keeps to bounds; if not, only equal bounds mean anything.
    default_bounds
        Whether σ_kk >= 0 where no bounds of Σ are given, as in PyBLP. Where the
        optimiser keeps to bounds, ρ without bounds stays between zero and 0.99.
    type_shares, type_shares_bounds
        λ ``(R,)`` or None, and a pair of bounds or None.
    type_labels
        Names of the R types of agents, none without types.

    Raises
    ------
    InputError
        With every wrong shape, missing matrix and violated bound.
    """
    faults = Faults("starting values")
    K2, D = len(sigma_labels), len(pi_labels)
    priced = tuple(priced) or (False,) * len(beta_labels)
    start = Matrices(
        np.tril(_matrix(faults, "sigma", sigma, (K2, K2), "X2 is formulated")),
        _matrix(faults, "pi", pi, (K2, D), "demographics are formulated"),
        _rho(faults, rho, len(rho_labels)),
        _linear(faults, "beta", beta, len(beta_labels), "X1"),
        _linear(faults, "gamma", gamma, len(gamma_labels), "X3"),
        _phi(faults, phi, 2 if gamma_labels else 1, lagged=lagged),
        type_shares=read_type_shares(faults, type_shares, tuple(type_labels)),
    )
    _check_prices(faults, start.beta, priced, beta_labels, supply=bool(gamma_labels))
    given = {
        "sigma": sigma_bounds,
        "pi": pi_bounds,
        "rho": rho_bounds,
        "beta": beta_bounds,
        "gamma": gamma_bounds,
        "type_shares": type_shares_bounds,
        "phi": phi_bounds,
    }
    pairs = {
        name: _bounds(faults, name, given[name], getattr(start, name), bounded)
        for name in given
    }
    if type_shares_bounds is not None:
        check_share_bounds(faults, *pairs["type_shares"])
    nonzero = np.flatnonzero((start.sigma != 0).any(axis=0))
    if n_node_columns < nonzero.size:
        faults.add(
            f"{n_node_columns} columns of integration nodes",
            f"at least {nonzero.size}, one a column of sigma with a non-zero entry",
            "add node columns to the agent data, or set columns of sigma to zero",
        )
    faults.check()
    if default_bounds and sigma_bounds is None:
        pairs["sigma"] = _nonnegative_diagonal(start.sigma, pairs["sigma"])
    if bounded and rho_bounds is None:
        pairs["rho"] = _below_one(start.rho)
    if bounded:
        pairs["type_shares"] = within_simplex(start.type_shares, pairs["type_shares"])
    free, fixed = _sort_entries(start, pairs)
    columns = range(K2) if n_node_columns >= K2 else nonzero[:n_node_columns]
    return Parameters(
        start=start,
        lower=Matrices(**{name: low for name, (low, _) in pairs.items()}),
        upper=Matrices(**{name: high for name, (_, high) in pairs.items()}),
        free=free,
        fixed=fixed,
        node_columns=tuple(int(c) for c in columns),
        n_node_columns=n_node_columns,
        types=tuple(types),
        sigma_labels=tuple(sigma_labels),
        pi_labels=tuple(pi_labels),
        beta_labels=tuple(beta_labels),
        gamma_labels=tuple(gamma_labels),
        priced=priced,
        rho_labels=tuple(rho_labels),
        type_labels=tuple(type_labels) if start.type_shares.size else (),
    )


def _fill(matrices: Matrices, entries: Sequence[Entry], values: Floats) -> None:
    for entry, value in zip(entries, np.ravel(values), strict=True):
        getattr(matrices, entry.matrix)[entry.row, entry.column] = value


def _as_floats(faults: Faults, name: str, values: object) -> Floats | None:
    """Read numbers into a matrix, columns for vectors; a fault where it cannot be."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        faults.add(f"{name} that is not numeric", "numbers", f"check {name}")
        return None
    return array.reshape(-1, 1) if array.ndim < 2 else array


def _matrix(
    faults: Faults, name: str, values: object, shape: tuple[int, int], condition: str
) -> Floats:
    empty = np.zeros(shape)
    if values is None:
        if empty.size:
            faults.add(
                f"no {name}",
                f"starting values of shape {shape}, because {condition}",
                f"pass {name}; zeros stay zero, everything else is estimated",
            )
        return empty
    array = _as_floats(faults, name, values)
    if array is None or (array.size == 0 and empty.size == 0):
        return empty
    if array.shape != shape:
        expected = f"shape {shape}" if empty.size else f"none, unless {condition}"
        remedy = f"pass {name} of that shape" if empty.size else f"leave {name} out"
        faults.add(f"{name} of shape {array.shape}", expected, remedy)
        return empty
    if not np.isfinite(array).all():
        faults.add(
            f"NaN or infinite values in {name}",
            "finite starting values",
            f"replace them; only entries of beta may be NaN, not of {name}",
        )
    return np.array(array)


def _rho(faults: Faults, values: object, n_nests: int) -> Floats:
    """Read ρ, one number or one a nest, all below one."""
    given = None if values is None else _as_floats(faults, "rho", values)
    if given is not None and n_nests > 1 and given.size == 1:
        n_nests = 1
    shape = (n_nests, 1)
    if given is not None and given.shape == (1, n_nests):
        given = given.T
    found = _matrix(faults, "rho", given, shape, "there are nesting_ids")
    if (found >= 1).any():
        faults.add(
            f"rho of {found.max():g}",
            "values below one, at which products of a nest are the same product",
            "start between 0 and 0.99",
        )
    return found


def _phi(faults: Faults, values: object, n_errors: int, *, lagged: bool) -> Floats:
    """Read φ, one number for ξ alone, or a matrix of ξ and ω."""
    shape = n_errors, n_errors if lagged else 0
    given = None if values is None else _as_floats(faults, "phi", values)
    return _matrix(faults, "phi", given, shape, "there are lag_indices")


def _linear(faults: Faults, name: str, given: object, size: int, matrix: str) -> Floats:
    missing = np.full((size, 1), np.nan)
    if given is None:
        return missing
    if isinstance(given, list | tuple):
        given = [np.nan if value is None else value for value in given]
    array = _as_floats(faults, name, given)
    if array is None:
        return missing
    if array.size != size or array.shape not in {(size, 1), (1, size)}:
        faults.add(
            f"{name} of shape {array.shape}",
            f"{size} values, one a column of {matrix}, None where concentrated out"
            if size
            else f"none, unless {matrix} is formulated",
            f"pass {name} of that length or leave it out",
        )
        return missing
    if np.isinf(array).any():
        faults.add(
            f"infinite values in {name}",
            "finite values, None or NaN where concentrated out",
            "replace them",
        )
    return array.reshape(size, 1).copy()


def _check_prices(
    faults: Faults,
    beta: Floats,
    priced: Sequence[bool],
    labels: Sequence[str],
    *,
    supply: bool,
) -> None:
    """Check that tastes for prices, which markups depend on, have starting values."""
    if not supply:
        return
    left_out = [
        label
        for label, depends, b in zip(labels, priced, beta[:, 0], strict=True)
        if depends and np.isnan(b)
    ]
    if left_out:
        faults.add(
            f"no starting values in beta for {', '.join(left_out)}",
            "one for every column of X1 that depends on prices: with a supply side "
            "their coefficients move costs and cannot be concentrated out",
            "pass beta with those values, and None for the other columns",
        )


def _bounds(
    faults: Faults, name: str, given: Any, start: Floats, bounded: bool
) -> tuple[Floats, Floats]:
    """Read a pair of bounds and fix what is zero at the start."""
    low, high = np.full_like(start, -np.inf), np.full_like(start, np.inf)
    if given is not None and start.size:
        if not isinstance(given, tuple | list) or len(given) != 2:
            found = "other than two" if isinstance(given, tuple | list) else "no"
            faults.add(
                f"{name}_bounds with {found} elements",
                "a pair (lower, upper)",
                f"pass {name}_bounds=(lower, upper)",
            )
        else:
            low = _one_bound(faults, f"lower bound of {name}", given[0], start, low)
            high = _one_bound(faults, f"upper bound of {name}", given[1], start, high)
            with np.errstate(invalid="ignore"):
                outside = int(((start < low) | (start > high)).sum())
            if outside:
                faults.add(
                    f"{outside} starting values of {name} outside their bounds",
                    "starting values within bounds",
                    f"move {name} or widen {name}_bounds",
                )
    if not bounded:
        loose = low != high
        low[loose], high[loose] = -np.inf, np.inf
    zero = start == 0
    low[zero] = high[zero] = 0.0
    return low, high


def _one_bound(
    faults: Faults, name: str, given: object, start: Floats, default: Floats
) -> Floats:
    array = _as_floats(faults, name, given)
    if array is None:
        return default
    if array.size == 1:
        array = np.full_like(start, array.item())
    if array.shape != start.shape:
        faults.add(
            f"{name} of shape {array.shape}",
            f"shape {start.shape} or one number",
            "pass bounds of the shape of the matrix; NaN where there is none",
        )
        return default
    return np.where(np.isnan(array), default, array)


def _nonnegative_diagonal(
    sigma: Floats, pair: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    low = pair[0].copy()
    for k in range(sigma.shape[0]):
        if low[k, k] != pair[1][k, k]:
            low[k, k] = min(0.0, sigma[k, k])
    return low, pair[1]


def _below_one(rho: Floats) -> tuple[Floats, Floats]:
    """Bound ρ as PyBLP does: from zero or the start to 0.99 or the start."""
    zero = rho == 0
    upper = np.where(zero, 0.0, np.maximum(LARGEST_RHO, rho))
    return np.minimum(0.0, rho), upper


def _sort_entries(
    start: Matrices, pairs: dict[str, tuple[Floats, Floats]]
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Sort entries into free and fixed, in the order of θ."""
    K2, D = start.pi.shape
    entries = [Entry("sigma", k, c) for k in range(K2) for c in range(k + 1)]
    entries += [Entry("pi", k, d) for k in range(K2) for d in range(D)]
    entries += [Entry("rho", h, 0) for h in range(start.rho.size)]
    last = last_free(*pairs["type_shares"])
    types = [r for r in range(start.type_shares.size) if r != last]
    entries += [Entry("type_shares", r, 0) for r in types]
    entries += [Entry("phi", e, d) for e, d in np.ndindex(*start.phi.shape)]
    for name in LINEAR:
        values: Floats = getattr(start, name)[:, 0]
        entries += [Entry(name, int(k), 0) for k in np.flatnonzero(~np.isnan(values))]
    fixed = tuple(
        entry
        for entry in entries
        if pairs[entry.matrix][0][entry.row, entry.column]
        == pairs[entry.matrix][1][entry.row, entry.column]
    )
    held = set(fixed)
    return tuple(entry for entry in entries if entry not in held), fixed
