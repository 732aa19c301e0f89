"""The Flask extension: who the client is, by its certificate, and whether it may come in.

    from handclasp.flask import (
        ClientRefused, Handclasp, client_required, current_certificate, current_client)

    hc = Handclasp(app)                # or hc.init_app(app)

    @hc.verify_client     # on a connection's first request, and again once a second while it lives
    def verify(attempt):
        if attempt.certificate and attempt.certificate.fingerprint_sha256 in stolen:
            raise ClientRefused("reported stolen")
        return attempt.verdict == "ok"

    @app.get("/readings")
    @client_required(role="meter")
    def readings():
        return f"hello {current_client.name}, your serial is {current_certificate.serial:x}"

Settings in `app.config`:

HANDCLASP_VERIFY_INTERVAL (seconds, default 1.0): how long an answer of the verify functions holds
    on a connection; 0 asks for every request.
HANDCLASP_VERIFY_CACHE (default 4096): how many answers a process keeps.
HANDCLASP_VERIFY_EXEMPT (default ()): paths, as clients ask for them, that are let through without
    asking the verify functions, each with all that is below it; nobody is known there. For what the
    server serves without a certificate, such as a health check. Both the path that the client asked
    for and the one that reaches the application (SCRIPT_NAME, PATH_INFO) must be such a path: where
    middleware or a proxy changes it, list both.
"""

from __future__ import annotations

import inspect
import json
import math
import time
import weakref
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast, overload
from urllib.parse import unquote_to_bytes

from flask import Flask, Request, current_app, request
from flask.views import View
from werkzeug.exceptions import Forbidden
from werkzeug.local import LocalProxy

from handclasp import _environ
from handclasp._environ import Attempt, Identity, attempt_of, identity_of
from handclasp._verify import RecentAnswers
from handclasp.certificate import Certificate
from handclasp.client import (
    Client,
    RegisteredCertificate,
    RegistryError,
    RegistryRefused,
    RegistryUnavailable,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = [
    "Attempt",
    "Certificate",
    "Client",
    "ClientRefused",
    "Handclasp",
    "RegisteredCertificate",
    "RegistryError",
    "RegistryRefused",
    "RegistryUnavailable",
    "client_required",
    "current_certificate",
    "current_client",
]

VerifyFunction = Callable[[Attempt], "bool | Awaitable[bool] | None"]
F = TypeVar("F", bound=Callable[..., Any])
V = TypeVar("V", bound=VerifyFunction)

_EXTENSION = "handclasp"
# In environ, ours alone: what was decided about this request, and that its refusal is in the log.
_DECISION = "handclasp.flask.decision"
_REPORTED = "handclasp.flask.reported"

_NOTHING_IN_FRONT = (
    "nothing in front of this application hands over client certificates: "
    "run it with `handclasp serve`, or let ForwardedClientCertificate be outside of it"
)


class ClientRefused(Forbidden):
    """The client may not come in, or not here: 403, as application/problem+json (RFC 9457) unless
    an error handler for `ClientRefused`, `Forbidden` or 403 renders it.

    reason: shown to the client, as with `flask.abort(403, reason)`, and logged.
    verdict: the verdict's name, `refused-by-app` where it was the application's wish. The server
        logs another one only where it found so itself (`handclasp.verdict`, or `no-certificate`
        where there is none).
    log_reason: what is logged instead of `reason`, where the client must not read it.
    """

    description = "this client is not admitted"

    def __init__(
        self,
        reason: str | None = None,
        *,
        verdict: str = _environ.REFUSED_BY_APP,
        log_reason: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.log_reason = log_reason

    @property
    def reason(self) -> str:
        return str(self.description)

    def get_body(self, environ: Any = None, scope: Any = None) -> str:
        problem = {
            "type": "about:blank",
            "title": self.name,
            "status": self.code,
            "detail": self.reason,
            "verdict": str(self.verdict),
        }
        return json.dumps(problem) + "\n"  # ASCII, which is to be had of any str

    def get_headers(self, environ: Any = None, scope: Any = None) -> list[tuple[str, str]]:
        # No cache may answer an admitted client with another one's refusal.
        return [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]

    def _again(self) -> ClientRefused:
        """The same refusal without a traceback, for another request: one instance must not be
        raised in two threads."""
        again = type(self).__new__(type(self))
        again.__dict__.update(self.__dict__)
        again.args = self.args
        return again


@dataclass(frozen=True, slots=True)
class _Answer:
    """Of the verify functions; `refusal` None admits."""

    refusal: ClientRefused | None


@dataclass(frozen=True, slots=True)
class _Decision:
    """About one request: `facts` is what it rests on."""

    state: _AppState
    facts: Hashable
    answer: _Answer | None  # None: an exempt path


_ADMITTED = _Answer(None)


def _facts(environ: WSGIEnvironment, identity: Identity | None) -> Hashable:
    if identity is None:
        return None
    verdict, certificate, client = identity
    fingerprint = certificate.fingerprint_sha256 if certificate is not None else None
    return (environ.get(_environ.CONNECTION), fingerprint, verdict, client)


def _is_exempt(environ: WSGIEnvironment, exempt: object) -> bool:
    if not exempt:
        return False
    open_paths = _open_paths(exempt)
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if not _is_below(path, open_paths):
        return False
    # Middleware that believes X-Forwarded-Prefix lets the client choose SCRIPT_NAME.
    asked = _asked_path(environ)
    return asked is None or _is_below(asked, open_paths)


def _is_below(path: str, open_paths: Sequence[str]) -> bool:
    segments = path.split("/")[1:]
    # What a router may read as another path than we do is never exempt.
    if "." in segments or ".." in segments or "" in segments[:-1] or "\\" in path or "\0" in path:
        return False
    return any(path == open_path or path.startswith(open_path + "/") for open_path in open_paths)


def _asked_path(environ: WSGIEnvironment) -> str | None:
    """The path of the request's target, decoded; None where the server does not tell it."""
    target = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if not isinstance(target, str):
        return None
    if not target.startswith("/"):  # RFC 9112 section 3.2.2: absolute-form
        target = "/" + target.partition("://")[2].partition("/")[2]
    return unquote_to_bytes(target.partition("?")[0].encode("latin-1")).decode("latin-1")


def _open_paths(setting: object) -> list[str]:
    """HANDCLASP_VERIFY_EXEMPT, looked at for every use: "/admin" as a list of its letters would
    open "/"."""
    if not isinstance(setting, (list, tuple, set, frozenset)):
        raise ValueError("HANDCLASP_VERIFY_EXEMPT must be a list of paths")
    for path in setting:
        if not isinstance(path, str) or not path.startswith("/") or path.endswith("/"):
            raise ValueError(
                "HANDCLASP_VERIFY_EXEMPT: a path begins with / and does not end with one, "
                f"not {path!r}"
            )
    return list(setting)


class _AppState:
    """What `Handclasp` is for one application: `app.extensions["handclasp"]`."""

    def __init__(self, extension: Handclasp, app: Flask) -> None:
        self.extension = extension
        self.app = app
        self.answers: RecentAnswers[_Answer] = RecentAnswers()
        self._checked_views: dict[str, Callable[..., Any] | None] = {}

    def decide(self, environ: WSGIEnvironment) -> ClientRefused | None:
        """Decides about a request, once; the refusal, or None. Called outermost, and again inside
        the application: there it counts where the former was got around, or where something between
        changed who the client is."""
        functions = self.extension._functions
        if not functions:
            return None
        facts = _facts(environ, identity_of(environ))
        found = environ.get(_DECISION)
        if isinstance(found, _Decision) and found.state is self and found.facts == facts:
            if found.answer is not None:
                return found.answer.refusal
        exempt = _is_exempt(environ, self.app.config["HANDCLASP_VERIFY_EXEMPT"])
        answer = None if exempt else self._answer(functions, environ)
        environ[_DECISION] = _Decision(self, facts, answer)
        return answer.refusal if answer is not None else None

    def _answer(
        self,
        functions: Sequence[VerifyFunction],
        environ: WSGIEnvironment,
    ) -> _Answer:
        attempt = attempt_of(environ)
        if attempt is None:
            return _Answer(ClientRefused(_NOTHING_IN_FRONT, verdict=_environ.NO_CERTIFICATE))
        if environ.get(_environ.CONNECTION) is None:
            return self._ask(functions, attempt)
        key = (environ[_environ.CONNECTION], attempt)
        now = time.monotonic()
        answer = self.answers.get(key, now, self.app.config["HANDCLASP_VERIFY_INTERVAL"])
        if answer is None:
            answer = self._ask(functions, attempt)
            self.answers.put(key, now, answer, self.app.config["HANDCLASP_VERIFY_CACHE"])
        return answer

    def _ask(self, functions: Sequence[VerifyFunction], attempt: Attempt) -> _Answer:
        with self.app.app_context():
            for function in functions:
                refusal = self._ask_one(function, attempt)
                if refusal is not None:
                    return _Answer(refusal)
        return _ADMITTED

    def _ask_one(self, function: VerifyFunction, attempt: Attempt) -> ClientRefused | None:
        name = getattr(function, "__qualname__", repr(function))
        try:
            answer = self.app.ensure_sync(function)(attempt)
        except ClientRefused as refusal:
            return refusal._again()
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # a cancelled task's and sys.exit() refuse like any other
            self.app.logger.exception("verify function %s failed; the client is refused", name)
            return ClientRefused(
                log_reason=f"verify function {name} raised {type(problem).__name__}"
            )
        if answer is True:
            return None
        said = (
            repr(answer)
            if answer is None or answer is False
            else f"an object of type {type(answer).__name__}"
        )
        return ClientRefused(
            log_reason=f"verify function {name} returned {said}, and only True admits"
        )

    def guard(self) -> None:
        """Raises where the request at hand is refused."""
        at_hand: Request = request._get_current_object()  # type: ignore[attr-defined]
        refusal = self.decide(at_hand.environ)
        if refusal is not None:
            raise refusal._again()
        endpoint = at_hand.endpoint
        if endpoint is not None:
            view = self.app.view_functions.get(endpoint)
            if self._checked_views.get(endpoint) is not view:
                self._check_view(endpoint, view)

    def _check_view(self, endpoint: str, view: Callable[..., Any] | None) -> None:
        if isinstance(view, Hashable) and view in _bare_views:
            raise RuntimeError(
                f"the view of endpoint {endpoint!r} is registered without its guard: "
                "@client_required must stand below the route"
            )
        self._checked_views[endpoint] = view


class _Guard:
    """The outermost WSGI layer of an application: a refused request reaches no middleware
    inside."""

    def __init__(self, state: _AppState, inner: WSGIApplication) -> None:
        self.state = state
        self.inner = inner

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self.state.decide(environ) is None:
            return self.inner(environ, start_response)
        # Flask's own dispatch, so that error handlers and after_request functions render the
        # refusal; guard() raises it before anything of the application's that runs for a request.
        response: Iterable[bytes] = Flask.wsgi_app(self.state.app, environ, start_response)
        if environ.get(_REPORTED):
            return response
        # A subclass that dispatches without preprocess_request: what it says is not for this client.
        close = getattr(response, "close", None)
        if close is not None:
            close()
        raise RuntimeError("a refused request was not stopped by preprocess_request")


class Handclasp:
    """Client certificates for a Flask application.

    One instance may serve several applications: pass each to `init_app`. Thread-safe once requests
    are served; register verify functions before that.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._functions: tuple[VerifyFunction, ...] = ()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Puts itself around `app.wsgi_app` and into the application. Calling it twice does no
        harm; RuntimeError where another `Handclasp` is there, ValueError for a setting that makes
        no sense.

        Middleware that fills in who the client is (`handclasp.forwarded`) goes around this: assign
        it afterwards.
        """
        state = app.extensions.get(_EXTENSION)
        if isinstance(state, _AppState):
            if state.extension is not self:
                raise RuntimeError("this application has another Handclasp already")
            return
        app.config.setdefault("HANDCLASP_VERIFY_INTERVAL", 1.0)
        app.config.setdefault("HANDCLASP_VERIFY_CACHE", 4096)
        app.config.setdefault("HANDCLASP_VERIFY_EXEMPT", ())
        _check_settings(app)
        state = _AppState(self, app)
        app.extensions[_EXTENSION] = state
        app.wsgi_app = _Guard(state, app.wsgi_app)  # type: ignore[method-assign]
        _guard_inside(app, state)

    def verify_client(self, function: V) -> V:
        """Decorator: ask this function whether a client may come in. It gets an `Attempt` and
        admits with `True`; any other value and any exception refuses. All functions registered must
        admit. It may be async; it runs in an application context, without `request`, since its
        answer is for a connection and not for one path.

        It is asked about every client that the server lets through to the application, with or
        without a certificate: the server's mode (`--client-cert`) decides which those are."""
        self._functions = (*self._functions, function)
        return function

    def require_client(
        self, *, role: str | None = None, any_role: Iterable[str] | None = None
    ) -> Callable[[], None]:
        """A function for `before_request` of an application or blueprint, with the meaning of
        `client_required`."""
        roles = _wanted_roles(role, any_role)

        def require_client() -> None:
            _require(roles)

        return require_client


def _check_settings(app: Flask) -> None:
    interval = app.config["HANDCLASP_VERIFY_INTERVAL"]
    if (
        isinstance(interval, bool)
        or not isinstance(interval, (int, float))
        or not 0 <= interval < math.inf
    ):
        raise ValueError(
            f"HANDCLASP_VERIFY_INTERVAL must be a number of seconds, 0 or more, not {interval!r}"
        )
    room = app.config["HANDCLASP_VERIFY_CACHE"]
    if isinstance(room, bool) or not isinstance(room, int) or room < 0:
        raise ValueError(f"HANDCLASP_VERIFY_CACHE must be a whole number, 0 or more, not {room!r}")
    _open_paths(app.config["HANDCLASP_VERIFY_EXEMPT"])


def _guard_inside(app: Flask, state: _AppState) -> None:
    """Guards the application where `app.wsgi_app` is replaced or got around, and logs its refusals.
    Both methods are Flask's to override; what they are called with differs between its versions and
    is passed on."""
    preprocess_request: Callable[..., Any] = app.preprocess_request
    handle_user_exception: Callable[..., Any] = app.handle_user_exception

    @wraps(preprocess_request)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        state.guard()
        return preprocess_request(*args, **kwargs)

    @wraps(handle_user_exception)
    def reported(*args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            if isinstance(value, ClientRefused):
                _report(value)
        return handle_user_exception(*args, **kwargs)

    app.preprocess_request = guarded  # type: ignore[method-assign]
    app.handle_user_exception = reported  # type: ignore[method-assign]


def _report(refusal: ClientRefused) -> None:
    """One line in the server's log about a refusal, under the verdict that the response names;
    in the application's, where no server takes it."""
    environ = request.environ
    if environ.get(_REPORTED):
        return
    environ[_REPORTED] = True
    # str: a text that is translated when it is shown is none yet.
    reason = str(refusal.reason if refusal.log_reason is None else refusal.log_reason)
    verdict = str(refusal.verdict)
    refuse = environ.get(_environ.REFUSE)
    if callable(refuse):
        try:
            refuse(reason, verdict)
            return
        except Exception:
            current_app.logger.exception("the server could not be told of a refusal")
    current_app.logger.warning(
        "client %s refused: %s: %s", request.remote_addr, verdict, reason
    )


# Views that a guard was put around: none of them may be registered as it is.
_bare_views: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()


def _wanted_roles(role: str | None, any_role: Iterable[str] | None) -> frozenset[str] | None:
    if role is not None and any_role is not None:
        raise TypeError("give role or any_role, not both")
    if any_role is None:
        if role is not None and (not isinstance(role, str) or not role):
            raise TypeError(f"a role is a name, not {role!r}")
        return None if role is None else frozenset((role,))
    if isinstance(any_role, str):
        raise TypeError("any_role takes several names; for one use role")
    roles = frozenset(any_role)
    if not roles or not all(isinstance(name, str) and name for name in roles):
        raise TypeError("any_role needs at least one name")
    return roles


def _require(roles: frozenset[str] | None) -> None:
    """Raises ClientRefused where the request's client is not one, or has none of the roles."""
    environ = request.environ
    identity = identity_of(environ)
    if identity is None:
        _refuse(ClientRefused(_NOTHING_IN_FRONT, verdict=_environ.NO_CERTIFICATE))
    verdict, certificate, client = identity
    if certificate is None:
        _refuse(
            ClientRefused("a client certificate is needed here", verdict=_environ.NO_CERTIFICATE)
        )
    elif not _is_admitted(environ, identity):
        name = verdict if verdict != _environ.OK else _environ.REFUSED_BY_APP
        _refuse(ClientRefused("this certificate does not admit to this", verdict=name))
    elif roles is not None:
        _require_role(client, roles)


def _require_role(client: Client | None, roles: frozenset[str]) -> None:
    wanted = " or ".join(repr(role) for role in sorted(roles))
    if client is None:
        _refuse(
            ClientRefused(
                f"role {wanted} is needed, and this certificate has no record that could give one"
            )
        )
    elif not client.roles & roles:
        _refuse(
            ClientRefused(
                f"role {wanted} is needed", log_reason=f"{client.name!r} lacks role {wanted}"
            )
        )


def _refuse(refusal: ClientRefused) -> NoReturn:
    _report(refusal)
    raise refusal


def _is_admitted(environ: WSGIEnvironment, identity: Identity) -> bool:
    """Whether the certificate counts as the client's: it verified, and the verify functions, if
    any, admitted it."""
    # get: an application may use the decorators without the extension.
    state = current_app.extensions.get(_EXTENSION)
    if not isinstance(state, _AppState) or not state.extension._functions:
        return identity[0] == _environ.OK
    decision = environ.get(_DECISION)
    return (
        isinstance(decision, _Decision)
        and decision.state is state
        and decision.facts == _facts(environ, identity)
        and decision.answer is not None
        and decision.answer.refusal is None
    )


@overload
def client_required(view: F) -> F: ...
@overload
def client_required(
    view: None = None, *, role: str | None = None, any_role: Iterable[str] | None = None
) -> Callable[[F], F]: ...
def client_required(
    view: F | None = None, *, role: str | None = None, any_role: Iterable[str] | None = None
) -> F | Callable[[F], F]:
    """Decorator for a view, sync or async: only for clients that came in with a certificate.

    role: the client's record must have this role; any_role: one of these. Without a record there is
        no role, so the client is refused.

    Everybody else gets `ClientRefused` (403). It stands below the route:

        @app.get("/readings")
        @client_required(role="meter")
        def readings(): ...

    For a class-based view use `decorators = [client_required]`, or decorate its methods.
    """
    roles = _wanted_roles(role, any_role)
    return _guarded(view, roles) if view is not None else lambda view: _guarded(view, roles)


def _guarded(view: F, roles: frozenset[str] | None) -> F:
    if isinstance(view, type):
        what = "decorators = [client_required]" if issubclass(view, View) else "it on functions"
        raise TypeError(f"client_required is no decorator for a class: use {what}")
    if not callable(view):
        raise TypeError(f"client_required is a decorator for a view, not {view!r}")
    if inspect.iscoroutinefunction(view):

        @wraps(view)
        async def guarded_async(*args: Any, **kwargs: Any) -> Any:
            _require(roles)
            return await view(*args, **kwargs)

        guarded: Callable[..., Any] = guarded_async
    else:

        @wraps(view)
        def guarded_sync(*args: Any, **kwargs: Any) -> Any:
            _require(roles)
            return view(*args, **kwargs)

        guarded = guarded_sync
    try:
        _bare_views.add(view)
    except TypeError:
        pass  # it takes no weak reference: no function, so no route decorator gave it back
    return cast(F, guarded)


def _get_certificate() -> Certificate | None:
    environ = request.environ
    identity = identity_of(environ)
    return identity[1] if identity is not None and _is_admitted(environ, identity) else None


def _get_client() -> Client | None:
    environ = request.environ
    identity = identity_of(environ)
    return identity[2] if identity is not None and _is_admitted(environ, identity) else None


current_certificate: Certificate = LocalProxy(_get_certificate)  # type: ignore[assignment]
"""The certificate of the request's client; falsy where there is none. One that did not verify is
there only if the verify functions admitted it."""

current_client: Client = LocalProxy(_get_client)  # type: ignore[assignment]
"""The record of the request's client; falsy where there is none."""
