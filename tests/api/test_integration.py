"""The public configuration reads its keywords as PyBLP does and says all faults."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pyblp
import pytest

from blpdask.api.integration import Integration, build_integration
from blpdask.api.stores import described
from blpdask.errors import DataWarning, InputError
from blpdask.problem.stored_blocks import as_rule


@pytest.mark.parametrize(
    ("specification", "size", "options"),
    [
        ("monte_carlo", 20, {"seed": 3}),
        ("halton", 20, {"seed": 3}),
        ("halton", 20, {"discard": 7, "scramble": False}),
        ("lhs", 20, {"seed": 3}),
        ("mlhs", 20, {"seed": 3}),
        ("product", 4, None),
        ("nested_product", 4, None),
        ("grid", 4, {}),
        ("nested_grid", 4, None),
    ],
)
def test_table_is_that_of_pyblp(
    specification: str, size: int, options: dict[str, Any] | None
) -> None:
    found = build_integration(Integration(specification, size, options), 3)
    expected = pyblp.build_integration(
        pyblp.Integration(specification, size, options), 3
    )
    assert isinstance(found, np.recarray)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.weights, expected.weights, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.nodes, expected.nodes, rtol=0, atol=1e-14)


def test_numpy_integers_are_welcome() -> None:
    integration = Integration("lhs", np.int64(5), {"seed": np.uint32(1)})  # type: ignore[arg-type]
    assert integration == Integration("lhs", 5, {"seed": 1})
    assert hash(integration) == hash(Integration("lhs", 5, {"seed": 1}))
    assert integration != Integration("lhs", 5, {"seed": 2})


def test_it_travels_between_processes() -> None:
    integration = Integration("sobol", 8, {"seed": 1})
    assert pickle.loads(pickle.dumps(integration)) == integration


def test_it_says_what_it_does() -> None:
    assert str(Integration("grid", 5)) == (
        "Nodes and weights from a sparse grid of Gauss-Hermite rules of level 5."
    )
    assert str(Integration("trapezoid", 31)) == (
        "Nodes and weights from the product trapezoid rule, 31 nodes in each dimension."
    )
    assert str(Integration("laplace", 8, {"seed": 1, "antithetic": True})) == (
        "Nodes and weights from scrambled Sobol sequences around modes of people's "
        "tastes, 8 draws of each person (seed: 1, antithetic: True)."
    )
    assert repr(Integration("sobol", 8, {"seed": 1})) == (
        "Nodes and weights from scrambled Sobol sequences, 8 draws in each market "
        "(seed: 1)."
    )


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Integration("haltn", 0, {"seed": -1, "discard": 1.5, "scramble": 3, "drop": 1})
    found = [fault.found for fault in caught.value.faults]
    assert found == [
        "specification 'haltn'",
        "size 0",
        "specification option 'drop'",
        "specification option seed -1",
        "specification option discard 1.5",
        "specification option scramble 3",
    ]
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("monte_carlo", 5.0), "size 5.0"),
        (("monte_carlo", True), "size True"),
        ((["halton"], 5), r"specification \['halton'\]"),
        (("halton", 5, [("seed", 1)]), "specification_options of type list"),
        (("halton", 5, {"seed": 0.5}), "seed 0.5"),
        (("halton", 5, {"seed": 2**32}), "below 2"),
        (("nested_grid", 26), "a level of at most 25"),
        (("product", 1000), "a level of at most 300"),
        (("product", 5, {"sead": 1}), "expected: no option"),
        (("sobol", 5, {"antithetic": True}), "size 5 of antithetic"),
        (("sobol", 4, {"antithetic": 2}), "antithetic 2"),
    ],
)
def test_each_fault(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Integration(*arguments)


def test_build_integration_checks_its_arguments() -> None:
    with pytest.raises(InputError) as caught:
        build_integration("halton", 0)  # type: ignore[arg-type]
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("product", 5, {"seed": 1}), "'seed' has no effect on 'product'"),
        (("monte_carlo", 5, {"discard": 1}), "'discard' has no effect"),
        (("sobol", 5), "5 of 'sobol' is not a power of two.* 8 is"),
        (("laplace", 65), "65 of 'laplace' is not a power of two.* 128 is"),
        (("product", 5, {"antithetic": True}), "'antithetic' has no effect"),
        (("halton", 5, {"discard": 0, "scramble": False}), "minus infinity"),
    ],
)
def test_oddities_are_warned_of(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.warns(DataWarning, match=message) as caught:
        Integration(*arguments)
    assert caught[0].filename == __file__


def test_ordinary_use_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_integration(Integration("sobol", 1), 2)
        build_integration(Integration("halton", 3, {"seed": 0, "discard": 0}), 2)


def test_rules_for_people_are_refused_for_markets() -> None:
    rule = Integration("laplace", 8, {"seed": 0})
    for build in (lambda: build_integration(rule, 2), lambda: described(rule)):
        with pytest.raises(InputError, match="shares have no modes"):
            build()


def test_stores_do_not_describe_antithetic_draws() -> None:
    with pytest.raises(InputError, match="antithetic draws for a store"):
        described(Integration("sobol", 8, {"seed": 0, "antithetic": True}))
    nodes = described(Integration("trapezoid", 31))
    assert nodes is not None
    rule = as_rule(nodes)
    assert (rule.specification, rule.size) == ("trapezoid", 31)
