"""What the server hands over in a WSGI environ (PEP 3333), read with suspicion.

Every key has a dot in it, so none can be made by a request header: those become HTTP_… with
underscores. A value of the wrong type is taken for absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handclasp.certificate import Certificate
from handclasp.client import Client

CERTIFICATE = "handclasp.certificate"
CLIENT = "handclasp.client"
VERDICT = "handclasp.verdict"
VERDICT_DETAIL = "handclasp.verdict_detail"
ERROR = "handclasp.error"
DEPTH = "handclasp.depth"
CONNECTION = "handclasp.connection"
REFUSE = "handclasp.refuse"

OK = "ok"
NO_CERTIFICATE = "no-certificate"
REFUSED_BY_APP = "refused-by-app"


# Verdict, certificate, record.
Identity = tuple[str, Certificate | None, Client | None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A client that wants to come in: what a `verify_client` function is asked about.

    certificate: what the client proved to hold the key of; None where it sent none. In mode
        `request` it may be one that did not verify: look at `verdict`.
    client: the client's record; None where there is no registry, or none was found.
    address: the client's address as text, REMOTE_ADDR as it is where `Handclasp` sits among the
        middleware.
    verdict: the server's answer: "ok", "no-certificate", "expired", "untrusted-issuer" …
    error: OpenSSL's X509_V_ERR_… behind the verdict, the first one; 0 where there was none.
    depth: the place in the chain that `error` is about; 0 is the client's own certificate.
    detail: more about the verdict, printable ASCII, for people; may be empty.
    """

    certificate: Certificate | None
    client: Client | None
    address: str
    verdict: str
    error: int = 0
    depth: int = 0
    detail: str = ""


def identity_of(environ: Mapping[str, Any]) -> Identity | None:
    """Who a request comes from; None where nothing in front hands over certificates."""
    verdict = environ.get(VERDICT)
    if not isinstance(verdict, str):
        return None
    certificate = environ.get(CERTIFICATE)
    if not isinstance(certificate, Certificate):
        return (verdict if verdict != OK else NO_CERTIFICATE), None, None
    client = environ.get(CLIENT)
    return verdict, certificate, client if isinstance(client, Client) else None


def attempt_of(environ: Mapping[str, Any]) -> Attempt | None:
    """The attempt that a request is; None where nothing in front hands over certificates."""
    identity = identity_of(environ)
    if identity is None:
        return None
    verdict, certificate, client = identity
    return Attempt(
        certificate=certificate,
        client=client,
        address=str(environ.get("REMOTE_ADDR", "")),
        verdict=verdict,
        error=_int(environ.get(ERROR)),
        depth=_int(environ.get(DEPTH)),
        detail=str(environ.get(VERDICT_DETAIL, "")),
    )


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
