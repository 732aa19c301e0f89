"""The same identity behind somebody else's TLS: nginx, Apache, HAProxy, Envoy, Traefik, a cloud's
load balancer.

    from handclasp.forwarded import ForwardedClientCertificate

    app.wsgi_app = ForwardedClientCertificate(
        app.wsgi_app, form="nginx", trusted=["127.0.0.1"], state="/var/lib/handclasp")

The terminator hands over a certificate; everything about it is decided here again: the chain to the
CAs, purpose, time, revocation, the client's record. The application then sees the very names that
`handclasp serve` gives it, and `current_client`, `@client_required` and the rest work alike.

Nothing is believed until it is named. A request from anybody else, and one whose certificate cannot
be read without doubt, has no identity, and every header that could be taken for one is removed.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import re
import socket
import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from handclasp import _door, _environ
from handclasp._forms import FORMS, Form, Unreadable
from handclasp.certificate import Certificate
from handclasp.client import Client, RegistryUnavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["ForwardedClientCertificate"]

_log = logging.getLogger("handclasp.forwarded")

#: What an environ may hold that looks like an identity, of whatever terminator or server: beginnings
#: of names, in which every character that is no letter or digit is "_".
_SUSPICIOUS = (
    "REMOTE_USER",
    "AUTH_TYPE",
    "SSL_CLIENT_",
    "X_SSL_",
    "CERT_",  # IIS
    "HTTPS_CC",  # uWSGI
    "HTTPS_DN",
    "REDIRECT_REMOTE_USER",
    "REDIRECT_SSL_CLIENT_",
    "HANDCLASP_",
    "HTTP_SSL_",
    "HTTP_X_SSL_",
    "HTTP_REMOTE_USER",
    "HTTP_AUTH_TYPE",
    "HTTP_CLIENT_CERT",
    "HTTP_X_CLIENT_CERT",
    "HTTP_X_CLIENT_DN",
    "HTTP_X_CLIENT_VERIFY",
    "HTTP_X_TLS_CLIENT_",
    "HTTP_X_MTLS_",
    "HTTP_X_FORWARDED_CLIENT_CERT",
    "HTTP_X_FORWARDED_TLS_CLIENT_CERT",
    "HTTP_X_AMZN_MTLS_",
    "HTTP_X_ARR_CLIENTCERT",
    "HTTP_CF_CLIENT_CERT",
    "HTTP_CF_CERT_",
    "HTTP_CLOUDFRONT_VIEWER_CERT",
    "HTTP_HANDCLASP",
)
_HEADER = re.compile("[A-Za-z0-9_-]+")
_NO_NAME = re.compile("[^A-Z0-9]")
#: A list of addresses with nothing that two readers could take for different ones, as quotes.
_ADDRESSES = re.compile(r"[0-9a-fA-F.:,\[\] ]*", re.ASCII)
#: Servers that hand over the connection itself, which knows its peer whatever REMOTE_ADDR has become.
_SOCKETS = ("gunicorn.socket", "werkzeug.socket")
_RETRY_AFTER_S = 5
_REMEMBERED = 4096
_REMEMBERED_CHARACTERS = 32 << 20
_STRANGERS_REMEMBERED = 256
_LOOK_AGAIN_S = 1.0
_OLD_CAS = 64  # HC_LIMIT_OLD_CAS
_MAX_AGE_S = (1, 86400)  # as --registry-max-age
#: Verdicts about a certificate that a CA of ours signed.
_OF_OUR_CAS = frozenset(
    ("ok", "not-in-registry", "record-mismatch", "suspended", "revoked", "registry-unavailable", "expired")
)

#: Where a text was handed over.
_VARIABLES, _HEADERS = "variables", "headers"

Mode = Literal["request", "optional", "required"]
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _in_environ(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


def _checked(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a form's headers: one that no request can have would be a certificate that is never found."""
    for name in names:
        if not _HEADER.fullmatch(name):
            raise ValueError(f"header: {name!r} is no header's name")
    if len(set(map(_in_environ, names))) < len(names):
        raise ValueError(f"header: two of {', '.join(names)} are one header")
    return names


def _plain(name: str) -> str:
    return _NO_NAME.sub("_", name.upper())


class _Trusted:
    """Who may hand over certificates: networks, "tcp:NETWORK", "unix:" and "variables:"."""

    def __init__(self, names: Iterable[str]) -> None:
        if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
            raise TypeError(f"trusted: {names!r} is no list of peers")
        self.networks: list[_Network] = []
        self.certain: list[_Network] = []
        self.unix = self.variables = self.anybody = False
        for name in names:
            self._add(name)
        self._seen: dict[tuple[str, bool], bool] = {}

    def _add(self, name: object) -> None:
        if not isinstance(name, str):
            raise TypeError(f"trusted: {name!r} is no text")
        self.anybody = True
        if name == "unix:":
            self.unix = True
        elif name == "variables:":
            self.variables = True
        else:
            rest = name.removeprefix("tcp:")
            try:
                network = ipaddress.ip_network(rest)
            except ValueError as problem:
                raise ValueError(
                    f"trusted: {name!r} is neither an address, a network, 'tcp:NETWORK', 'unix:' nor 'variables:' "
                    f"({problem})"
                ) from None
            self.networks.append(network)
            if rest != name:
                self.certain.append(network)

    def believes_variables(self, environ: WSGIEnvironment) -> bool:
        """Server variables cannot be made by a client; who set them is the server that runs us."""
        return self.variables or (self.anybody and not _address_is_the_peers(environ))

    def believes_headers(self, environ: WSGIEnvironment) -> bool:
        if not self.anybody:
            return False
        address = _peer(environ)
        if not address:
            return self.unix and address == ""
        peers = _address_is_the_peers(environ)
        key = (address, peers)
        known = self._seen.get(key)
        if known is None:
            known = self._contains(address, self.networks if peers else self.certain)
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[key] = known
        return known

    @staticmethod
    def _contains(text: str, networks: list[_Network]) -> bool:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any(a in n for n in networks for a in (address, mapped) if a is not None)


def _address_is_the_peers(environ: WSGIEnvironment) -> bool:
    """mod_wsgi, and uWSGI over its own protocol, put the client's address into REMOTE_ADDR."""
    return "mod_wsgi.version" not in environ and "uwsgi.version" not in environ


def _peer(environ: WSGIEnvironment) -> str | None:
    """The address of who is connected; "" on a unix socket, None where that is not known."""
    for name in _SOCKETS:
        connection = environ.get(name)
        if connection is not None:
            return _peer_of(connection)
    orig = environ.get("werkzeug.proxy_fix.orig")
    if not isinstance(orig, dict):
        address = environ.get("REMOTE_ADDR")
    else:
        # A second ProxyFix writes there what the first one took from a header: the peer is not known.
        address = orig.get("REMOTE_ADDR")
        named = str(environ.get("HTTP_X_FORWARDED_FOR", ""))
        if not _ADDRESSES.fullmatch(named) or address in [one.strip() for one in named.split(",")]:
            return None
    if address == "" and not _address_is_the_peers(environ):
        return None
    return address if isinstance(address, str) else None


#: Of connections that live: asking one gives up the GIL, which costs more than all else here.
_peers: weakref.WeakKeyDictionary[socket.socket, str] = weakref.WeakKeyDictionary()


def _peer_of(connection: socket.socket) -> str | None:
    known = _peers.get(connection)
    if known is not None:
        return known
    try:
        name = connection.getpeername()
    except OSError:  # it has gone
        return None
    if connection.family == socket.AF_UNIX:
        name = ("",)
    if not isinstance(name, tuple):
        return None
    peer = _peers[connection] = str(name[0])
    return peer


class _Files:
    """CA certificates and revocation lists, read anew when they have changed."""

    def __init__(self, ca_certs: Sequence[str], crl: Sequence[str], folder: str | None) -> None:
        self._ca_certs, self._crl = ca_certs, crl
        self._folder = folder  # its CAs come and go as they are replaced; None: `ca_certs` are all
        self.state = self._state()
        self.looked = time.monotonic()

    @staticmethod
    def _read(paths: Sequence[str]) -> list[tuple[str, bytes]]:
        return [(path, Path(path).read_bytes()) for path in paths]

    def read(self) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
        return self._read(self._cas()), self._read(self._crl)

    def _cas(self) -> Sequence[str]:
        return self._ca_certs if self._folder is None else _cas_of_state(self._folder)

    def _state(self) -> list[tuple[int, ...] | None]:
        found: list[tuple[int, ...] | None] = []
        for path in (*self._cas(), *self._crl):
            try:
                stat = os.stat(path)
                found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
            except OSError:
                found.append(None)
        return found

    def changed(self) -> bool:
        """At most once a second, true where a file is another one now. Two threads may be told so."""
        now = time.monotonic()
        if now - self.looked < _LOOK_AGAIN_S:
            return False
        self.looked = now
        state = self._state()
        changed = state != self.state
        self.state = state
        return changed


Key = tuple[str | None, ...]


class _Memory:
    """What was made of texts that were handed over, bounded in their number and size. Threads may
    forget, and never mistake."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[Key, _Seen] = {}
        self._characters = 0
        self.get = self._seen.get

    def put(self, key: Key, seen: _Seen) -> None:
        size = sum([len(text) for text in key if text])
        if len(self._seen) >= self._most or self._characters + size > _REMEMBERED_CHARACTERS:
            self._seen.clear()
            self._characters = 0
        self._characters += size
        self._seen[key] = seen


@dataclass(slots=True)
class _Seen:
    """A certificate that was handed over before: nothing of it is decoded twice."""

    caller: _door.Caller
    certificate: Certificate
    key: Key | None  # where it is not remembered yet
    known: tuple[_door.Answer, dict[str, Any]] | None = None  # whole or not at all: threads share it
    logged: str = _environ.OK  # the last verdict


@dataclass(frozen=True, slots=True)
class _Paths:
    ca_certs: list[str]
    crl: list[str]
    registry: str | None
    base: str


def _as_list(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> list[str] | None:
    if paths is None:
        return None
    if isinstance(paths, (str, os.PathLike)):
        return [os.path.abspath(paths)]
    return [os.path.abspath(path) for path in paths]


def _options_of_state(state: str, *, has_registry: bool) -> tuple[str, str]:
    """The state folder's handclasp.yaml, and what is in it."""
    path = os.path.join(state, "handclasp.yaml")
    try:
        return path, Path(path).read_text()
    except FileNotFoundError:
        if has_registry:
            return path, ""
        raise ValueError(f"{path} is not there: name registry=") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path} cannot be read: {problem}") from None


def _registry_of_state(path: str, text: str) -> str:
    """What `registry:` says: never guessed."""
    found = re.findall(r"^registry[ \t]*:[ \t]*([^\s#'\"]+)[ \t]*(?:#.*)?$", text, re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"{path} does not say in one plain line what registry is: name registry=")
    return str(found[0])


def _cas_of_state(state: str) -> list[str]:
    """Asked for by name, as the server does: who may enter the folder need not be able to list it."""
    older = [os.path.join(state, "ca", f"old-{n}.pem") for n in range(1, _OLD_CAS + 1)]
    return [os.path.join(state, "ca", "ca.pem"), *filter(os.path.exists, older)]


def _resolve(
    state: str | None, ca_certs: list[str] | None, crl: list[str] | None, registry: str | None
) -> _Paths:
    if state is not None:
        path, text = _options_of_state(state, has_registry=registry is not None)
        for name, given in (("ca-certs", ca_certs), ("crl", crl)):
            # The server would admit others by these: whoever does not mean it says crl=[].
            if given is None and re.search(rf"^{name}[ \t]*:", text, re.MULTILINE):
                raise ValueError(f"{path} has a line `{name}:`, which is not read here: name {name.replace('-', '_')}=")
        ca_certs = ca_certs or _cas_of_state(state)
        registry = _registry_of_state(path, text) if registry is None else registry
    if not ca_certs:
        raise ValueError("ca_certs= (or state=) must name the CAs of your clients")
    if registry is None:
        raise ValueError("registry= must name the clients' records, or be 'none' where the CAs alone decide")
    # Not of where the process is by the time that it asks.
    base = os.path.abspath(state if state is not None else ".")
    return _Paths(ca_certs, crl or [], None if registry == "none" else registry, base)


def _max_age_ms(seconds: object) -> int:
    if not isinstance(seconds, (int, float)) or not _MAX_AGE_S[0] <= seconds <= _MAX_AGE_S[1]:  # nor is nan
        raise ValueError(f"registry_max_age: {seconds!r} is not from {_MAX_AGE_S[0]} to {_MAX_AGE_S[1]} seconds")
    return int(seconds * 1000)


class _NoAuthority:
    """Whom a client's questions go to: nobody. The registry is open for reading alone."""

    def ask(self, client: Client, question: bytes, /) -> bytes:
        raise RegistryUnavailable(
            f"nothing is asked or changed about {client.name!r} from here: behind another server's TLS the registry "
            "is read alone. `handclasp client` changes it, and `handclasp serve` lets a view do so"
        )


_NO_AUTHORITY = _NoAuthority()


class ForwardedClientCertificate:
    """WSGI middleware (PEP 3333): fills in what `handclasp serve` fills in, from a certificate that
    the TLS terminator in front handed over.

    Args:
        app: the WSGI application inside.
        form: how it is handed over: "rfc9440", "nginx", "apache", "haproxy", "envoy", "traefik",
            "aws-alb".
        trusted: who may hand it over. Addresses and networks of TCP peers; "unix:" for a peer on a
            unix socket; "variables:" for server variables alone (mod_wsgi, uwsgi_param). Under
            mod_wsgi and uWSGI, whose REMOTE_ADDR is the client's address, only variables are
            believed; "tcp:NETWORK" says that it is the peer's address there too (uWSGI's
            http-socket). Empty: nobody.
        ca_certs: files with the CAs of the clients, PEM.
        crl: files with their revocation lists.
        registry: URL of the clients' records, "sqlite:PATH"; "none": the CAs alone decide. Opened
            for reading, followed by a thread of each process from its first certificate on. Who was
            imported as a serial alone becomes the first certificate that fits, for as long as this
            process lives: nothing is written.
        state: a state folder, in the place of those that are not given: ca/ca.pem and what its
            handclasp.yaml says of the registry. Where that also names CAs or revocation lists, these must be given.
        unknown: "refuse" or "admit" who is not in the registry.
        registry_max_age: seconds that records are believed for while the registry cannot be read;
            after that a client is answered 503. 1 to 86400.
        client_cert: "request": whatever comes, the application decides, by @client_required or
            `handclasp.verdict`. "optional": a certificate that is refused is answered 403.
            "required": so is none at all.
        header, verify_header, chain_header: other names of the form's headers. `header` is the only one that is
            then read for a certificate, also where the form has two.

    Raises:
        ValueError: an argument, or what a file holds, is not what it should be.
        OSError: a file cannot be read.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        form: str,
        trusted: Iterable[str],
        ca_certs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        crl: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        registry: str | None = None,
        state: str | os.PathLike[str] | None = None,
        unknown: Literal["refuse", "admit"] = "refuse",
        registry_max_age: float = 10.0,
        client_cert: Mode = "request",
        header: str | None = None,
        verify_header: str | None = None,
        chain_header: str | None = None,
    ) -> None:
        if not isinstance(form, str) or form not in FORMS:
            raise ValueError(f"form: {form!r} is none of {', '.join(FORMS)}")
        if unknown not in ("refuse", "admit"):
            raise ValueError(f"unknown: {unknown!r} is neither 'refuse' nor 'admit'")
        if client_cert not in ("request", "optional", "required"):
            raise ValueError(f"client_cert: {client_cert!r} is no mode")
        self.app = app
        for name in (header, verify_header, chain_header):
            if name is not None and not isinstance(name, str):
                raise TypeError(f"header: {name!r} is no text")
        self._form: Form = FORMS[form].renamed(header, verify_header, chain_header)
        self._names = [_in_environ(name) for name in _checked(self._form.headers())]
        self._innocent = {"wsgi.input"}  # names that were looked at before
        self._suspicious = (*_SUSPICIOUS, *map(_plain, self._names))
        self._trusted = _Trusted(trusted)
        if self._trusted.variables and not self._form.variables:
            raise ValueError(f"trusted: form {form!r} has no variables, headers alone")
        self._mode = client_cert
        folder = os.fspath(state) if state is not None else None
        given = _as_list(ca_certs)
        paths = _resolve(folder, given, _as_list(crl), registry)
        self._files = _Files(paths.ca_certs, paths.crl, None if given or folder is None else paths.base)
        self._door = _door.Door(
            *self._files.read(),
            registry=paths.registry,
            base=paths.base,
            admit_unknown=unknown == "admit",
            max_age_ms=_max_age_ms(registry_max_age),
            report=_report,
        )
        # The thread is to end before the libraries that it uses do: with us, or with the interpreter.
        weakref.finalize(self, self._door.close)
        # Whoever made a certificate for himself cannot push out who is known.
        self._known, self._strangers = _Memory(_REMEMBERED), _Memory(_STRANGERS_REMEMBERED)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            seen = self._handed_over(environ)
            reason = ""
        except Unreadable as problem:
            seen, reason = None, str(problem)
        self._strip(environ)
        if reason:
            _log.warning("no identity address=%r reason=%r", environ.get("REMOTE_ADDR"), reason)
        if self._files.changed():
            self._reload()
        verdict = self._fill(environ, seen) if seen else _nobody(environ)
        return self._admit(environ, start_response, verdict)

    # ---- what was handed over

    def _handed_over(self, environ: WSGIEnvironment) -> _Seen | None:
        by_variables = by_headers = None
        if self._form.variables and self._trusted.believes_variables(environ):
            texts = self._form.variable_texts(environ)
            if any(texts):
                by_variables = self._seen(_VARIABLES, texts, environ)
        if self._trusted.believes_headers(environ):
            texts = tuple(map(environ.get, self._names))
            if any(texts):
                by_headers = self._seen(_HEADERS, texts, environ)
        if by_variables and by_headers and by_variables.certificate.der != by_headers.certificate.der:
            raise Unreadable("a header names another certificate than the server's variables")
        return by_variables or by_headers

    def _seen(self, place: str, texts: Key, environ: WSGIEnvironment) -> _Seen | None:
        key = (place, *texts)  # all that is read
        seen = self._known.get(key) or self._strangers.get(key)
        if seen is not None:
            return seen
        if place is _VARIABLES:
            handed = self._form.read_variables(environ)
        else:
            handed = self._form.read(dict(zip(self._form.headers(), texts, strict=True)).get)
        if handed is None:
            return None
        try:
            caller = self._door.caller(handed.leaf, handed.chain)
        except ValueError as problem:
            raise Unreadable(f"what was handed over is no certificate: {problem}") from None
        return _Seen(caller, Certificate(handed.leaf, handed.chain, caller.variables), key)

    def _strip(self, environ: WSGIEnvironment) -> None:
        innocent = self._innocent
        found = [key for key in environ if key not in innocent]
        for key in found:
            if _plain(key).startswith(self._suspicious):
                del environ[key]
            elif len(innocent) < _REMEMBERED and len(key) < 100:
                innocent.add(key)

    def _reload(self) -> None:
        try:
            self._door.load(*self._files.read())
            _log.info("CAs and revocation lists were read anew")
        except (OSError, ValueError) as problem:
            _log.error("CAs and revocation lists stay as they were: %s", problem)

    # ---- what the application sees

    def _fill(self, environ: WSGIEnvironment, seen: _Seen) -> str:
        answer = self._door.check(seen.caller)
        known = seen.known
        if known is None or known[0] is not answer:
            known = seen.known = (answer, _said_of(seen, answer))
            if seen.key is not None:
                (self._known if answer[0] in _OF_OUR_CAS else self._strangers).put(seen.key, seen)
                seen.key = None
        environ.update(known[1])
        verdict = answer[0]
        address = environ.get("REMOTE_ADDR")
        environ[_environ.REFUSE] = _Refuse(seen.certificate, address)
        if verdict != seen.logged:  # once, not for every request of a client that does not give up
            seen.logged = verdict
            if verdict != _environ.OK:
                _log_refusal(seen.certificate, address, verdict, answer[3])
        return verdict

    def _admit(self, environ: WSGIEnvironment, start_response: StartResponse, verdict: str) -> Iterable[bytes]:
        absent = verdict == _environ.NO_CERTIFICATE
        if verdict == "registry-unavailable":
            return _problem(start_response, "503 Service Unavailable", environ)
        if verdict == _environ.OK or self._mode == "request":
            return self.app(environ, start_response)
        if absent and self._mode == "optional":
            return self.app(environ, start_response)
        if absent:
            _log_refusal(None, environ.get("REMOTE_ADDR"), verdict, "")
        return _problem(start_response, "403 Forbidden", environ)


def _said_of(seen: _Seen, answer: _door.Answer) -> dict[str, Any]:
    """What goes into an environ, for as long as the answer is this one."""
    verdict, error, depth, detail, verify, days_left, record = answer
    said: dict[str, Any] = {
        **seen.caller.variables,
        "SSL_CLIENT_VERIFY": verify,
        "SSL_CLIENT_V_REMAIN": str(days_left),
        _environ.CERTIFICATE: seen.certificate,
        _environ.CLIENT: None,
        _environ.VERDICT: verdict,
        _environ.VERDICT_DETAIL: detail,
        _environ.ERROR: error,
        _environ.DEPTH: depth,
    }
    if record is not None:
        client = said[_environ.CLIENT] = Client._of(_NO_AUTHORITY, *record)
        # PEP 3333: UTF-8, carried as Latin-1.
        said["REMOTE_USER"] = client.name.encode().decode("latin-1")
        said["AUTH_TYPE"] = "CLIENT_CERT"
    return said


def _nobody(environ: WSGIEnvironment) -> str:
    environ["SSL_CLIENT_VERIFY"] = "NONE"
    environ[_environ.CERTIFICATE] = None
    environ[_environ.CLIENT] = None
    environ[_environ.VERDICT] = _environ.NO_CERTIFICATE
    environ[_environ.VERDICT_DETAIL] = ""
    environ[_environ.ERROR] = 0
    environ[_environ.DEPTH] = 0
    environ[_environ.REFUSE] = _Refuse(None, environ.get("REMOTE_ADDR"))
    return _environ.NO_CERTIFICATE


class _Refuse:
    """`handclasp.refuse`: one line in the log for a refusal by the application. Without the environ that it is in: a
    cycle would keep all of a request until the collector comes."""

    __slots__ = ("_address", "_certificate")

    def __init__(self, certificate: Certificate | None, address: object) -> None:
        self._certificate, self._address = certificate, address

    def __call__(self, reason: str, verdict: str = _environ.REFUSED_BY_APP) -> None:
        _log_refusal(self._certificate, self._address, verdict, reason)


def _log_refusal(certificate: Certificate | None, address: object, verdict: str, reason: str) -> None:
    if certificate is None:
        _log.warning("client refused verdict=%s reason=%r address=%r", verdict, reason, address)
        return
    _log.warning(
        "client refused verdict=%s reason=%r subject=%r issuer=%r serial=%s serial_decimal=%d "
        "fingerprint=%s address=%r",
        verdict,
        reason,
        str(certificate.subject),
        str(certificate.issuer),
        certificate.serial_hex,
        certificate.serial,
        certificate.fingerprint_sha256,
        address,
    )


def _problem(start_response: StartResponse, status: str, environ: WSGIEnvironment) -> Iterable[bytes]:
    """RFC 9457, as the server itself says it."""
    code, title = status.split(" ", 1)
    problem: dict[str, Any] = {"type": "about:blank", "title": title, "status": int(code)}
    if environ[_environ.VERDICT_DETAIL]:
        problem["detail"] = environ[_environ.VERDICT_DETAIL]
    problem["verdict"] = environ[_environ.VERDICT]
    body = (json.dumps(problem) + "\n").encode()
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    if code == "503":
        headers.append(("Retry-After", str(_RETRY_AFTER_S)))
    start_response(status, headers)
    return [body]


def _report(problem: str | None) -> None:
    if problem is None:
        _log.info("the registry can be read again")
    else:
        _log.error("%s", problem)
