"""Public data sets become tables of choices: by their published logits."""

from __future__ import annotations

import pytest

from blpdask import ChoiceProblem, Formulation
from blpdask.api.choice_data_sets import choice_tables, load_choices
from blpdask.errors import InputError
from tests.references.fetched import require_data

#: Formulas, log-likelihoods of the logit, and coefficients where they are known.
PUBLISHED = {
    "electricity": ("0 + pf + cl + loc + wk + tod + seas", -4958.649119, None),
    "train": (
        "0 + I(-1 * price) + I(-1 * time) + I(-1 * change) + I(-1 * comfort)",
        -1724.150027,
        [0.32711347, 1.72055184, 0.32634101, 0.94572569],
    ),
    "artificial": (
        "0 + price + time + conven + comfort + meals + petfr + emipp + nonsig1 + "
        "nonsig2 + nonsig3",
        -2414.400417,
        None,
    ),
}


def table_of(name: str) -> object:
    """Read a table, or skip the test where it cannot be fetched."""
    require_data(name)
    return load_choices(name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_logits_are_those_that_are_published(name: str) -> None:
    formula, likelihood, theta = PUBLISHED[name]
    results = ChoiceProblem(Formulation(formula), table_of(name)).solve()
    assert results.log_likelihood == pytest.approx(likelihood, abs=2e-6)
    if theta is not None:
        # Published where a search ended, whose gradient was not zero to all digits.
        assert results.theta == pytest.approx(theta, abs=2e-7)


def test_swissmetro_has_the_people_of_the_studies() -> None:
    problem = ChoiceProblem(
        Formulation("0 + asc_car + asc_train + cost + time"), table_of("swissmetro")
    )
    assert (problem.I, problem.S) == (752, 6768)


def test_tables_that_are_not_there_are_told() -> None:
    with pytest.raises(InputError, match="no table of choices 'ta_feng'"):
        load_choices("ta_feng")
    assert "ta_feng" not in choice_tables()
