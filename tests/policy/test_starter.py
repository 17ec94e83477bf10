from __future__ import annotations

import re

import pytest

from borrow.policy.decide import roles_for
from borrow.policy.load import load_policy
from borrow.policy.review import check, run_tests
from borrow.policy.starter import STARTER_POLICY, starter_policy
from borrow.protocol.errors import Misconfigured

PEOPLE = ["local:ann", "local:Ann Doe", 'local:CORP\\ann"x', "local:żółw", "ann@example.com"]


def uncommented(text: str) -> str:
    """The file with its examples switched on, as its own header explains."""
    return re.sub(r"(?m)^#(?=[^ #\n])", "", text)


@pytest.mark.parametrize("person", PEOPLE)
def test_the_starter_loads_clean_and_allows_nothing(person: str) -> None:
    policy = load_policy(starter_policy(person))
    assert (check(policy), dict(policy.roles), policy.admins) == ((), {}, (person,))


@pytest.mark.parametrize("person", PEOPLE)
def test_every_commented_example_works_when_it_is_switched_on(person: str) -> None:
    policy = load_policy(uncommented(starter_policy(person)))
    assert check(policy) == ()
    assert len(policy.tests) == 2
    assert all(result.passed for result in run_tests(policy))
    assert [view.role.name for view in roles_for(policy, person)] == list(policy.roles)


def test_the_example_of_peers_works_as_written() -> None:
    found = re.search(r"(?m)^#   (approve = .*peer.*)$", STARTER_POLICY)
    assert found
    load_policy(
        '[groups]\nleads = ["bo@example.com", "cy@example.com"]\n'
        '[roles.r]\naws = "arn:aws:iam::111122223333:role/R"\n'
        f'[[rule]]\nid = "p"\nwho = ["local:ann"]\nroles = ["r"]\n{found[1]}\n'
    )


@pytest.mark.parametrize(
    "person", ["", "ann", "local:", "local:a\nb", "Ann@example.com", "group:x"]
)
def test_no_starter_is_written_for_what_is_no_person(person: str) -> None:
    with pytest.raises(Misconfigured, match="not a person's name"):
        starter_policy(person)
