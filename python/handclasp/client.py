"""The record of a client, as an application sees it in `environ["handclasp.client"]`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

__all__ = ["Client"]


class Client:
    """Who the certificate belongs to, by the server's own records; immutable.

    name: the record's name, unique in the registry.
    roles: what it may do.
    attributes: whatever else the operator wrote into the record.
    """

    __slots__ = ("_attributes", "_name", "_roles")

    def __init__(
        self, name: str, roles: Iterable[str] = (), attributes: Mapping[str, str] | None = None
    ) -> None:
        if isinstance(roles, str):
            raise TypeError("roles must be a collection of names, not one string")
        self._name = name
        self._roles = frozenset(roles)
        self._attributes: Mapping[str, str] = MappingProxyType(dict(attributes or {}))

    @property
    def name(self) -> str:
        return self._name

    @property
    def roles(self) -> frozenset[str]:
        return self._roles

    @property
    def attributes(self) -> Mapping[str, str]:
        return self._attributes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Client):
            return NotImplemented
        return (self._name, self._roles, self._attributes) == (
            other._name,
            other._roles,
            other._attributes,
        )

    def __hash__(self) -> int:
        return hash((self._name, self._roles))

    def __repr__(self) -> str:
        return f"<Client {self._name!r} roles={sorted(self._roles)!r}>"
