"""Each profile of the user is a role of the catalogue, the run's own, or refused."""

from __future__ import annotations

import pytest

from borrow.cli.served import behind

ADMIN = "arn:aws:iam::111122223333:role/Admin"
SSO = (
    "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-west-1/"
    "AWSReservedSSO_Ops_0123456789abcdef"
)
ROLES = (("prod-admin", ADMIN), ("ops", SSO), ("twin-a", "arn:t"), ("twin-b", "arn:t"))


def role_of(name: str, **ways: str) -> str:
    return behind(name, ways, role="dev-read", same=("mine",), roles=ROLES).role


def test_a_profile_without_keys_of_its_own_takes_the_borrowed_role() -> None:
    assert role_of("settings-only") == "dev-read"


def test_a_role_arn_of_the_catalogue_is_served_as_that_role() -> None:
    assert role_of("prod", role_arn=ADMIN, source_profile="default") == "prod-admin"


def test_an_sso_permission_set_is_known_by_account_and_name() -> None:
    assert role_of("x", sso_account_id="111122223333", sso_role_name="Ops") == "ops"
    assert role_of("x", sso_account_id="111122223333", sso_role_name="Admin") == "prod-admin"
    assert role_of("x", sso_account_id="999999999999", sso_role_name="Ops") == ""
    assert role_of("x", sso_account_id="111122223333", sso_role_name="Op.") == ""


def test_a_profile_with_keys_and_a_roles_name_is_that_role() -> None:
    assert role_of("prod-admin", aws_access_key_id="AKIA") == "prod-admin"
    assert role_of("prod-admin", role_arn="arn:aws:iam::1:role/Other") == ""


@pytest.mark.parametrize("ways", [{"aws_access_key_id": "A"}, {"credential_process": "x"}])
def test_keys_that_belong_to_no_role_are_refused(ways: dict[str, str]) -> None:
    assert role_of("prod", **ways) == ""


def test_what_the_caller_names_is_the_borrowed_role() -> None:
    assert role_of("mine", aws_access_key_id="A") == "dev-read"
    assert role_of("prod", borrow_role="prod-admin", role_arn="arn:x") == "prod-admin"
    assert role_of("prod", borrow_role="no-such") == ""


def test_two_roles_of_one_arn_are_not_guessed_among() -> None:
    told = behind("p", {"role_arn": "arn:t"}, role="dev-read", same=(), roles=ROLES)
    assert told.role == ""
    assert "twin-a, twin-b" in told.why
    assert behind("p", {"role_arn": "arn:t"}, role="twin-b", same=(), roles=ROLES).role == "twin-b"
