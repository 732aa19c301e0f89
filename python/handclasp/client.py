"""The record of a client, as an application sees it in `environ["handclasp.client"]`, and what it may
ask about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn, Protocol, Self, get_args

from handclasp.certificate import Certificate

__all__ = [
    "Client",
    "RegisteredCertificate",
    "RegistryError",
    "RegistryRefused",
    "RegistryUnavailable",
    "RevocationReason",
]

#: CRLReason (RFC 5280 section 5.3.1), without removeFromCRL, which is no reason to revoke.
RevocationReason = Literal[
    "unspecified",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
    "privilegeWithdrawn",
    "aACompromise",
]


class RegistryError(Exception):
    """What was asked of the registry was not done, or may not have been."""


class RegistryUnavailable(RegistryError):
    """Nobody answers, or there is no registry. A change may have been made or not; asking for it
    again does no harm."""


class RegistryRefused(RegistryError):
    """The registry said no, and changed nothing.

    code: "not-found" (this client has no such certificate), "refused" or "invalid".
    """

    def __init__(self, message: str, code: str = "refused") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class RegisteredCertificate:
    """One certificate of a client, as the registry knows it. Times are aware, UTC.

    serial: a number of up to 20 octets; serial_hex: lower-case hex without leading zeros.
    fingerprint_sha256: 64 lower-case hex digits; None for one that was registered by its serial
        alone and has not been seen yet.
    subject, issuer, sans: texts for people, not to decide by.
    status: "active" or "revoked"; revoked_at and reason (a `RevocationReason`) belong to the latter.
    origin: how it came to be registered, such as "issue" or "import".
    current: it is the one that this request came with.
    """

    serial: int
    serial_hex: str
    fingerprint_sha256: str | None
    subject: str
    issuer: str
    sans: tuple[str, ...]
    not_before: datetime | None
    not_after: datetime | None
    status: str
    revoked_at: datetime | None
    reason: str | None
    first_seen: datetime | None
    last_seen: datetime | None
    origin: str
    current: bool

    @classmethod
    def _of(cls, row: Mapping[str, Any]) -> Self:
        """From what the registry answers."""
        serial = int(row["serial"], 16)
        return cls(
            serial=serial,
            serial_hex=f"{serial:x}",
            fingerprint_sha256=row.get("fingerprint_sha256") or None,
            subject=row.get("subject") or "",
            issuer=row.get("issuer") or "",
            sans=tuple(row.get("sans") or ()),
            not_before=_time(row.get("not_before")),
            not_after=_time(row.get("not_after")),
            status=row["status"],
            revoked_at=_time(row.get("revoked_at")),
            reason=row.get("reason") or None,
            first_seen=_time(row.get("first_seen")),
            last_seen=_time(row.get("last_seen")),
            origin=row.get("origin") or "",
            current=row.get("current") is True,
        )


class _Asked(Protocol):
    """Who takes a client's questions: the lane of its request, or a test's registry."""

    def ask(self, client: Any, question: bytes, /) -> bytes: ...


class Client:
    """Who the certificate belongs to, by the server's own records; immutable.

    name: the record's name, unique in the registry.
    roles: what it may do.
    attributes: whatever else the operator wrote into the record: JSON.

    `certificates`, `suspend` and `revoke` ask the server, and wait for its answer; they work while
    the request is being answered, in its own thread or another one that it waits for, one at a time.
    After that they raise RuntimeError. Each raises RegistryUnavailable or RegistryRefused.
    """

    __slots__ = ("_asked", "_attributes", "_json", "_name", "_roles")

    _name: str
    _roles: frozenset[str]
    _json: str
    _attributes: Mapping[str, Any] | None
    _asked: _Asked | None

    def __init__(
        self, name: str, roles: Iterable[str] = (), attributes: Mapping[str, Any] | None = None
    ) -> None:
        if isinstance(roles, str):
            raise TypeError("roles must be a collection of names, not one string")
        self._fill(name, frozenset(roles), _json_text(attributes or {}), None)

    @classmethod
    def _of(cls, asked: _Asked, name: str, roles: str, attributes: str) -> Self:
        """As the server hands it over: roles with a space between two, attributes as JSON."""
        client = cls.__new__(cls)
        client._fill(name, frozenset(filter(None, roles.split(" "))), attributes or "{}", asked)
        return client

    def _asking(self, asked: _Asked) -> Client:
        """The same client, whose questions go there."""
        client = Client.__new__(Client)
        client._fill(self._name, self._roles, self._json, asked)
        return client

    def _fill(self, name: str, roles: frozenset[str], text: str, asked: _Asked | None) -> None:
        put = object.__setattr__
        put(self, "_name", name)
        put(self, "_roles", roles)
        put(self, "_json", text)
        put(self, "_attributes", None)
        put(self, "_asked", asked)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a client is immutable: {name!r} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a client is immutable: {name!r} cannot be deleted")

    @property
    def name(self) -> str:
        return self._name

    @property
    def roles(self) -> frozenset[str]:
        return self._roles

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Read-only to its leaves, since requests share it; lists are tuples."""
        if self._attributes is None:
            object.__setattr__(self, "_attributes", _frozen(json.loads(self._json)))
        assert self._attributes is not None
        return self._attributes

    @property
    def certificates(self) -> tuple[RegisteredCertificate, ...]:
        """The certificates of this client, this request's among them; asked for each time."""
        answer = self._ask({"do": "certificates"})
        try:
            return tuple(RegisteredCertificate._of(row) for row in answer["certificates"])
        except (KeyError, TypeError, ValueError) as problem:
            raise RegistryUnavailable("the registry's answer makes no sense") from problem

    def suspend(self, reason: str = "") -> None:
        """Lets this client in no more, until an operator resumes it: in force within a second, also
        on open connections. This request's response is still sent.

        reason: a person's words, for the registry's audit.
        """
        self._ask({"do": "suspend", "reason": _checked_text(reason)})

    def revoke(
        self,
        certificate: RegisteredCertificate | Certificate | str,
        reason: RevocationReason = "unspecified",
    ) -> None:
        """Revokes one of this client's certificates, for good; its other ones stay. In force within
        a second, also on open connections; this request's response is still sent, even where it
        came with that certificate.

        certificate: one of `certificates`, or its SHA-256 in hex.

        ValueError for a reason or a fingerprint that is none; RegistryRefused where this client has
        no such certificate.
        """
        if reason not in get_args(RevocationReason):
            raise ValueError(
                f"{reason!r} is no reason to revoke: one of {', '.join(get_args(RevocationReason))}"
            )
        fingerprint = _fingerprint(certificate)
        self._ask({"do": "revoke", "certificate": fingerprint, "reason": reason})

    def _ask(self, question: Mapping[str, str]) -> dict[str, Any]:
        if self._asked is None:
            raise RegistryUnavailable("this client's record comes from no registry")
        try:
            octets = self._asked.ask(self, json.dumps(question).encode())
        except OSError as problem:
            raise RegistryUnavailable("the server has gone") from problem
        try:
            answer = json.loads(octets)
        except ValueError as problem:
            raise RegistryUnavailable("the registry's answer makes no sense") from problem
        if isinstance(answer, dict) and answer.get("ok") is True:
            return answer
        raise _error(answer)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Client):
            return NotImplemented
        return (self._name, self._roles) == (other._name, other._roles) and (
            self._json == other._json or _canonical(self._json) == _canonical(other._json)
        )

    def __hash__(self) -> int:
        return hash((self._name, self._roles))

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy has no request, so there is nobody that it could ask.
        return (Client, (self._name, tuple(sorted(self._roles)), json.loads(self._json)))

    def __repr__(self) -> str:
        return f"<Client {self._name!r} roles={sorted(self._roles)!r}>"


def _json_text(attributes: Mapping[str, Any]) -> str:
    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            return dict(value)
        raise TypeError(f"attributes are JSON, and {value!r} is not")

    return json.dumps(attributes, default=plain, sort_keys=True, allow_nan=False)


def _canonical(text: str) -> str:
    # Texts and not values: to Python true is 1 and 1.0.
    return json.dumps(json.loads(text), sort_keys=True)


class _ReadOnly(dict[str, Any]):
    """A JSON object that requests share; a dict, so that it goes into a response as it is. A copy is
    a plain dict."""

    def _refuse(self, *arguments: object, **keywords: object) -> NoReturn:
        raise TypeError("a client's attributes are read-only: copy them")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = _refuse
    setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (dict(self),))


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return _ReadOnly((name, _frozen(member)) for name, member in value.items())
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return value


def _time(text: str | None) -> datetime | None:
    """RFC 3339 with its offset."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _checked_text(reason: str) -> str:
    if not isinstance(reason, str):
        raise TypeError(f"a reason is a text, not {reason!r}")
    return reason


def _fingerprint(certificate: RegisteredCertificate | Certificate | str) -> str:
    if isinstance(certificate, str):
        fingerprint = certificate.replace(":", "").lower()
        if len(fingerprint) != 64 or not set(fingerprint) <= set("0123456789abcdef"):
            raise ValueError(f"{certificate!r} is no SHA-256 in hex")
        return fingerprint
    if certificate.fingerprint_sha256 is None:
        raise RegistryRefused(
            "this certificate has never been seen, and its serial alone is not enough to revoke it "
            "here: an operator can",
            "invalid",
        )
    return certificate.fingerprint_sha256


def _error(answer: object) -> RegistryError:
    found = answer if isinstance(answer, dict) else {}
    code = found.get("code")
    message = found.get("error")
    if not isinstance(message, str) or not message:
        message = "the registry's answer makes no sense"
    if code in ("not-found", "refused", "invalid"):
        return RegistryRefused(message, code)
    return RegistryUnavailable(message)
