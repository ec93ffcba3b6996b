"""The form of an address."""

from __future__ import annotations

import pytest

from mlopsctl.types import Address


@pytest.mark.parametrize("text", ["gates.accuracy", "deployments.production[eu-1]", "targets.cpu[eu,s.2]"])
def test_an_address_reads_as_it_is_written(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["gates.x[../../y]", "gates.x[..]", "gates.x[a/b]", "gates.x[\x1b]", "gates.x[]", "gates", "files.x", "gates./x"],
)
def test_an_address_names_no_other_place(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("deployments.production[eu]", True),
        ("deployments.production", True),
        ("deployments.production[*]", True),
        ("deployments.production[us]", False),
        ("*[eu]", True),
        ("deployments.productione", False),
        ("deployments.prod*", True),
        ("gates.*", False),
    ],
)
def test_a_glob_takes_brackets_as_they_are_and_one_name_for_all_instances(pattern: str, found: bool) -> None:
    assert Address("deployments", "production", "eu").matches(pattern) is found
    assert not Address("deployments", "productione").matches("deployments.production[eu]")
