"""handclasp.client: a record as a value. What it asks is in test_wsgi_client.py."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from handclasp.client import Client, RegisteredCertificate, RegistryRefused


class Nobody:
    def ask(self, client: Any, question: bytes, /) -> bytes:
        raise AssertionError("nothing may be asked")


def of_server(roles: str = "", attributes: str = "", name: str = "alice") -> Client:
    return Client._of(Nobody(), name, roles, attributes)


def test_what_the_server_hands_over_is_what_a_person_writes() -> None:
    written = Client("alice", ["meter", "reader"], {"room": 7, "tags": ["a", {"b": None}]})
    handed = of_server("meter reader", '{"tags": ["a", {"b": null}], "room": 7}')
    assert handed == written
    assert hash(handed) == hash(written)
    assert (handed.roles, handed.attributes["room"]) == ({"meter", "reader"}, 7)


@pytest.mark.parametrize("roles", ["", " ", "  "])
def test_a_client_may_have_neither_roles_nor_attributes(roles: str) -> None:
    assert of_server(roles) == Client("alice")
    assert of_server(roles).roles == frozenset()
    assert of_server(roles).attributes == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (of_server("meter"), of_server("reader")),
        (of_server("meter"), of_server("meter reader")),
        (of_server(name="alice"), of_server(name="Alice")),
        (of_server(attributes='{"a": 1}'), of_server(attributes='{"a": 2}')),
        # Python takes these for equal; a verify function need not.
        (of_server(attributes='{"a": 1}'), of_server(attributes='{"a": true}')),
        (of_server(attributes='{"a": 1}'), of_server(attributes='{"a": 1.0}')),
        (Client("alice", (), {"a": 0}), Client("alice", (), {"a": False})),
        (of_server(), "alice"),
    ],
)
def test_records_that_differ_in_anything_are_not_equal(one: Client, other: object) -> None:
    assert one != other


def test_attributes_are_read_only_to_their_leaves() -> None:
    for client in (
        of_server(attributes='{"a": {"b": [1]}}'),
        Client("alice", (), {"a": {"b": [1]}}),
    ):
        attributes: Any = client.attributes
        assert attributes["a"]["b"] == (1,)
        with pytest.raises(TypeError):
            attributes["a"]["b"][0] = 2
        with pytest.raises(TypeError):
            attributes["a"]["c"] = 2
        for change in (
            lambda a: a.__setitem__("c", 2),
            lambda a: a.__delitem__("a"),
            lambda a: a.update(c=2),
            lambda a: a.setdefault("c", 2),
            lambda a: a.pop("a"),
            lambda a: a.popitem(),
            lambda a: a.clear(),
            lambda a: a.__ior__({"c": 2}),
        ):
            with pytest.raises(TypeError, match="read-only"):
                change(attributes)
        assert client.attributes is attributes
        assert attributes == {"a": {"b": (1,)}}


def test_attributes_go_into_a_response_as_they_are() -> None:
    text = '{"a": {"b": [1, null]}}'
    assert json.dumps(of_server(attributes=text).attributes) == text


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, dict])
def test_a_copy_of_attributes_is_ones_own(again: Any) -> None:
    client = of_server(attributes='{"a": {"b": 1}}')
    mine = again(client.attributes)
    mine["c"] = 2
    assert type(mine) is dict
    if again is copy.deepcopy:
        mine["a"]["b"] = 2
    assert client.attributes == {"a": {"b": 1}}


def test_attributes_that_are_changed_later_change_no_client() -> None:
    mine: dict[str, Any] = {"tags": ["a"]}
    client = Client("alice", (), mine)
    mine["tags"].append("b")
    assert client.attributes == {"tags": ("a",)}


def test_attributes_may_be_another_clients() -> None:
    nested: Mapping[str, Any] = MappingProxyType({"a": MappingProxyType({"b": (1,)})})
    assert Client("bob", (), nested).attributes == nested


@pytest.mark.parametrize("wrong", [{"a": object()}, {"a": {1}}])
def test_attributes_are_json(wrong: Any) -> None:
    with pytest.raises(TypeError, match="JSON"):
        Client("alice", (), wrong)


def test_a_record_nested_deeper_than_python_can_read_harms_its_own_views_alone() -> None:
    depth = 200_000
    client = of_server("meter", '{"a": ' + "[" * depth + "]" * depth + "}")
    assert client.roles == {"meter"}
    with pytest.raises((RecursionError, MemoryError)):
        _ = client.attributes


def test_a_client_is_immutable() -> None:
    client: Any = of_server()
    for name in ("name", "roles", "attributes", "_name", "_asked", "other"):
        with pytest.raises(AttributeError):
            setattr(client, name, "bob")
        with pytest.raises(AttributeError):
            delattr(client, name)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_a_copy_is_equal_and_asks_nobody(again: Any) -> None:
    client = of_server("meter", '{"a": [1]}')
    copied = again(client)
    assert copied == client and copied is not client
    assert copied._asked is None


def test_a_certificate_that_was_never_seen_cannot_be_revoked_by_a_view() -> None:
    row = {"serial": "1", "fingerprint_sha256": None, "status": "active"}
    with pytest.raises(RegistryRefused, match="never been seen"):
        of_server().revoke(RegisteredCertificate._of(row))
