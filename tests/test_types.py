"""The form of an address."""

from __future__ import annotations

import pytest

from mlopsctl.types import Address


@pytest.mark.parametrize("text", ["gates.accuracy", "deployments.production[eu-1]"])
def test_an_address_reads_as_it_is_written(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["gates.x[../../y]", "gates.x[..]", "gates.x[a/b]", "gates.x[\x1b]", "gates.x[]", "gates", "files.x", "gates./x"],
)
def test_an_address_names_no_other_place(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        Address.parse(text)
