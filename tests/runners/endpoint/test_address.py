"""Addresses of live models."""

from __future__ import annotations

import pytest

from portinf.core.errors import UsageError
from portinf.runners.endpoint.runner import Address


@pytest.mark.parametrize(
    "uri",
    ["grpc://host/m", "grpc://host:8001", "grpc://host:8001/", "http://host:x/m", "http://host:8000/m/latest", "ftp://h:1/m"]
    + ["http://host:8000/m/1/2", "http://host:8000/m?x=1", "http://u@host:8000/m", "grpc://host:99999/m"],
)
def test_malformed_addresses(uri: str) -> None:
    with pytest.raises(UsageError, match="expected grpc://host:port/model"):
        Address.parse(uri)


def test_names_are_escaped_as_in_a_url() -> None:
    assert Address.parse("grpc://host:8001/my%20n%C3%A9t%0A%25/3").model == "my n\u00e9t\n%"


def test_addresses_with_version_and_tls() -> None:
    address = Address.parse("grpcs://[::1]:8001/facile/3")
    assert (address.protocol, address.secure, address.netloc) == ("grpc", True, "[::1]:8001")
    assert (address.model, address.version) == ("facile", "3")
