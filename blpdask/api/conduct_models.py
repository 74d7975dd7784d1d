"""Models of how firms set prices, as a user names them.

A model says what firms set, prices or quantities, and the weight κ(f, g) that firm f
puts on profits of firm g, so that H_jk = κ(f(j), f(k)); the mathematics of markups is
in :mod:`blpdask.analysis.conduct_markups`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..analysis.conduct_markups import Conduct
from ..errors import Faults, InputError
from ..problem.demand_problem import DemandProblem
from ..problem.fields import factorize, some
from ..problem.ownership import evaluate_kappa, stacked_ownership
from ..problem.supply_side import read_owners
from ..records import Floats, Integers
from .simulation_checks import check_column

#: Kinds of models, and which may say whose profits count.
KINDS = (
    "bertrand",
    "cournot",
    "collusion",
    "monopoly",
    "perfect_competition",
    "given",
)
_WEIGHING = ("bertrand", "cournot", "collusion")


@dataclass(frozen=True, slots=True, eq=False)
class ConductModel:
    """A model of conduct, for :meth:`blpdask.ProblemResults.run_conduct_test`.

    Parameters
    ----------
    kind
        ``"bertrand"``: firms set prices. ``"cournot"``: they set quantities.
        ``"collusion"``: they set prices and care about others' profits, as one of the
        next arguments says. ``"monopoly"``: one firm prices all products.
        ``"perfect_competition"``: markups are zero. ``"given"``: markups are data.
    firms
        Ids of the firms that collude; all where None.
    kappa
        Weight that those put on each other's profits, one where None; or a function
        ``kappa(f, g)`` of two firms' ids that gives the weight of any pair.
    ownership
        ``(N, max J)`` weights of products, as ``build_ownership`` makes them.
    markups
        ``(N,)`` markups, of kind ``"given"``.
    name
        In tables; made of the other arguments where None.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Notes
    -----
    With ``firms``, ``kappa`` and ``ownership`` all None, weights are those of the
    problem: its ``ownership``, else one for products of the same firm.

    Examples
    --------
    >>> ConductModel("bertrand").label
    'bertrand'
    >>> ConductModel("collusion", firms=("a", "b"), kappa=0.5).label
    'collusion of a, b by 0.5'
    """

    kind: str
    firms: Sequence[Any] | None = None
    kappa: float | Callable[[Any, Any], float] | None = None
    ownership: Any = None
    markups: Any = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without data."""
        faults = Faults("ConductModel")
        if self.kind not in KINDS:
            faults.add(
                f"kind={self.kind!r}",
                f"one of {', '.join(map(repr, KINDS))}",
                "choose one",
            )
        weights = {
            name
            for name in ("firms", "kappa", "ownership")
            if getattr(self, name) is not None
        }
        self._check_weights(weights, faults)
        if (self.kind == "given") != (self.markups is not None):
            faults.add(
                f"markups of kind {self.kind!r}"
                if self.markups is not None
                else "kind 'given' without markups",
                "markups with kind 'given', and with no other",
                "pass both or neither",
            )
        if not (self.name is None or isinstance(self.name, str)):
            faults.add(f"name={self.name!r}", "text, or None", "quote the name")
        faults.check()

    def _check_weights(self, given: set[str], faults: Faults) -> None:
        """Check whose profits count."""
        if given and self.kind not in _WEIGHING:
            faults.add(
                f"{' and '.join(sorted(given))} of kind {self.kind!r}",
                f"one of {', '.join(map(repr, _WEIGHING))}",
                "leave it out, or choose such a kind",
            )
        if self.kind == "collusion" and not given:
            faults.add(
                "collusion of nobody",
                "firms, kappa or ownership",
                "say who colludes: firms=('a', 'b'), or kind='monopoly' for all",
            )
        if len(given) > 1 and ("ownership" in given or callable(self.kappa)):
            faults.add(
                f"{', '.join(sorted(given))} together",
                "ownership, a function kappa, or firms with a number kappa",
                "pass one of these",
            )
        if not (self.kappa is None or callable(self.kappa) or is_number(self.kappa)):
            faults.add(
                f"kappa={self.kappa!r}",
                "a finite number, or a function of two firms",
                "correct kappa",
            )
        if self.firms is not None and (
            isinstance(self.firms, str)
            or not isinstance(self.firms, Sequence | np.ndarray)
            or len(self.firms) < 2
        ):
            faults.add(
                f"firms={self.firms!r}", "ids of two firms or more", "list their ids"
            )

    @property
    def label(self) -> str:
        """Name the model."""
        if self.name is not None:
            return self.name
        words = [self.kind.replace("_", " ")]
        if self.firms is not None:
            words.append(f"of {some(self.firms)}")
        if callable(self.kappa):
            words.append("by kappa")
        elif self.kappa is not None:
            words.append(f"by {self.kappa:g}")
        if self.ownership is not None:
            words.append("by ownership")
        return " ".join(words)

    def weight(self, f: Any, g: Any) -> Any:
        """Give κ(f, g)."""
        if callable(self.kappa):
            return self.kappa(f, g)
        if f == g:
            return 1.0
        colludes = self.firms is None or (f in self.firms and g in self.firms)
        return (1.0 if self.kappa is None else float(self.kappa)) if colludes else 0.0


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number, and no truth value."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return bool(number and np.isfinite(value))


def read_models(
    given: Any, demand: DemandProblem, faults: Faults
) -> tuple[Conduct, ...]:
    """Turn models into what is computed, adding every fault.

    Parameters
    ----------
    given
        Two models or more, kinds that need nothing else by their names.
    demand
        The problem, in memory.
    faults
        What every fault is added to.
    """
    listed = isinstance(given, Sequence) and not isinstance(given, str)
    models = [_as_model(model, faults) for model in (given if listed else ())]
    if len(models) < 2:
        faults.add(
            f"models {given!r}",
            "two models or more",
            "pass a list, such as ['bertrand', 'monopoly']",
        )
    labels = [model.label for model in models if model is not None]
    if len(set(labels)) < len(labels):
        faults.add(
            f"models of the same name ({some(labels)})",
            "a name each",
            "give them names: ConductModel(..., name='…')",
        )
    read = [_read_model(model, demand, faults) for model in models if model is not None]
    return tuple(conduct for conduct in read if conduct is not None)


def _as_model(given: Any, faults: Faults) -> ConductModel | None:
    """Take a model, or make one of its kind; None where there is a fault."""
    if isinstance(given, ConductModel):
        return given
    if not isinstance(given, str):
        faults.add(
            f"a model of type {type(given).__name__}",
            "a ConductModel, or the name of a kind",
            "pass ConductModel('bertrand'), for example",
        )
        return None
    try:
        return ConductModel(given)
    except InputError as error:
        faults.extend(error)
        return None


def _read_model(
    model: ConductModel, demand: DemandProblem, faults: Faults
) -> Conduct | None:
    """Find out who decides what in every market."""
    N = demand.n_products
    nobody = np.zeros(N, np.int64)
    if model.kind == "perfect_competition":
        return Conduct(model.label, "nothing", nobody, eta=np.zeros(N))
    if model.kind == "given":
        eta = check_column(model.markups, "markups", N, faults)
        return None if eta is None else Conduct(model.label, "nothing", nobody, eta=eta)
    if model.kind == "monopoly":
        return Conduct(model.label, "prices", nobody)
    owners = _read_owners(model, demand, faults)
    if owners is None:
        return None
    sets = "quantities" if model.kind == "cournot" else "prices"
    return Conduct(model.label, sets, *owners)  # type: ignore[arg-type]


def _read_owners(
    model: ConductModel, demand: DemandProblem, faults: Faults
) -> tuple[Integers, Floats | None] | None:
    """Give codes of firms and, where those do not say it all, weights of products."""
    products, supply = demand.products, demand.products.supply
    own = model.firms is None and model.kappa is None
    if own and model.ownership is None and supply is not None:
        return supply.firms, supply.ownership
    data = dict(products.ids)
    if model.ownership is not None:
        data["ownership"] = np.asarray(model.ownership)
        if data["ownership"].shape[:1] != (demand.n_products,):
            faults.add(
                f"ownership of shape {data['ownership'].shape}",
                f"({demand.n_products}, max J): a row a product",
                "make it with build_ownership",
            )
            return None
    before = len(faults)
    firms, ownership = read_owners(data, products.market_codes, faults)
    if firms is None or len(faults) > before:
        return None
    if own:
        return firms, ownership
    return _weighed(model, demand, faults)


def _weighed(
    model: ConductModel, demand: DemandProblem, faults: Faults
) -> tuple[Integers, Floats] | None:
    """Evaluate κ for all firms that meet."""
    codes, unique = factorize(demand.products.ids["firm_ids"])
    unknown = [
        f for f in (() if model.firms is None else model.firms) if f not in unique
    ]
    if unknown:
        faults.add(
            f"firms {some(unknown)} that have no product",
            f"ids among {some(unique)}",
            "correct firms",
        )
        return None
    markets = demand.products.market_codes
    try:
        kappa = evaluate_kappa(model.weight, list(unique), markets, codes)
    except InputError as error:
        faults.extend(error)
        return None
    return np.zeros_like(codes), stacked_ownership(markets, codes, kappa)
