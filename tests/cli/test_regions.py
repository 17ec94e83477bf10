"""Regions: one variable sets both, no profile's own is overruled, no AWS tool starts blind."""

from __future__ import annotations

import pytest

from borrow.cli.regions import choose, is_refused_without, is_warned_without

BOTH = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}


@pytest.mark.parametrize(
    ("given", "put"),
    [
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, {"AWS_REGION": "eu-west-1"}),
        ({"AWS_REGION": "eu-west-1"}, {"AWS_DEFAULT_REGION": "eu-west-1"}),
        ({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, {}),
    ],
)
def test_a_variable_that_is_set_sets_the_other(given: dict[str, str], put: dict[str, str]) -> None:
    assert choose(given, "x", ["y"], "z") == (put, "", True)


def test_the_profiles_region_goes_before_the_roles() -> None:
    assert choose({}, "eu-west-1", [], "us-east-1").put == BOTH
    assert choose({}, "", [], "eu-west-1").put == BOTH
    assert choose({}, "", [], "") == ({}, "", False)


def test_a_variable_never_hides_the_region_of_another_profile() -> None:
    chosen = choose({}, "eu-west-1", ["eu-west-1", "us-east-1"], "")
    assert chosen == ({}, "eu-west-1", True)
    assert choose({}, "eu-west-1", ["eu-west-1"], "").put == BOTH


@pytest.mark.parametrize(
    "line", ["aws s3 ls", "/usr/bin/aws sts get-caller-identity", "cdk deploy"]
)
def test_an_aws_tool_without_a_region_is_refused(line: str) -> None:
    assert is_refused_without(line.split())


@pytest.mark.parametrize(
    "line", ["aws --region eu-west-1 s3 ls", "aws s3 ls --region=x", "aws help", "terraform plan"]
)
def test_what_has_a_region_of_its_own_or_needs_none_may_start(line: str) -> None:
    assert not is_refused_without(line.split())
    assert not is_warned_without(line.split())


def test_any_other_program_is_warned_only() -> None:
    assert is_warned_without(["python", "x.py"])
    assert not is_refused_without(["python", "x.py"])
