"""Handclasp.verify_client: the application's own say about who may come in."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import (
    Flask,
    Response,
    abort,
    copy_current_request_context,
    current_app,
    request,
    stream_with_context,
)
from flask.testing import FlaskClient
from werkzeug.middleware.proxy_fix import ProxyFix

from handclasp import flask as handclasp_flask
from handclasp._verify import RecentAnswers
from handclasp.flask import (
    Attempt,
    Client,
    ClientRefused,
    Handclasp,
    client_required,
    current_certificate,
    current_client,
)
from handclasp.testing import HandclaspClient, make_certificate


class Clock:
    """time.monotonic for the extension, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(handclasp_flask, "time", clock)
    return clock


@pytest.fixture
def hc() -> Handclasp:
    return Handclasp()


@pytest.fixture
def app(hc: Handclasp) -> Flask:
    app = Flask(__name__)
    app.testing = True
    app.test_client_class = HandclaspClient
    hc.init_app(app)

    @app.get("/")
    def index() -> str:
        return f"{current_certificate.subject.common_name if current_certificate else 'nobody'}"

    @app.get("/healthz")
    @app.get("/healthz/<part>")
    def health(part: str = "") -> str:
        return f"fine {bool(current_certificate)} {bool(current_client)}"

    @app.get("/guarded")
    @client_required
    def guarded() -> str:
        return current_certificate.subject.common_name or ""

    return app


def verdict_of(response: Any) -> str:
    assert response.status_code == 403, response.data
    return str(json.loads(response.data)["verdict"])


def test_true_admits(hc: Handclasp, app: Flask) -> None:
    hc.verify_client(lambda attempt: True)
    assert app.test_client(client="alice").get("/").text == "alice"


class AlwaysEqual:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        return True


@pytest.mark.parametrize(
    "answer", [None, False, 0, 1, "yes", object(), [1], AlwaysEqual(), 1.0], ids=repr
)
def test_only_true_admits(hc: Handclasp, app: Flask, answer: Any) -> None:
    hc.verify_client(lambda attempt: answer)
    client = app.test_client(client="alice")
    assert verdict_of(client.get("/")) == "refused-by-app"
    assert "only True admits" in client.refusals[0].reason


@pytest.mark.parametrize(
    "problem",
    [
        RuntimeError("secret"),
        KeyError("secret"),
        AssertionError("secret"),
        SystemExit("secret"),
        asyncio.CancelledError("secret"),
        GeneratorExit("secret"),
    ],
    ids=repr,
)
def test_an_exception_refuses_and_its_text_stays_in_the_log(
    hc: Handclasp, app: Flask, problem: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    @hc.verify_client
    def verify(attempt: Attempt) -> bool:
        raise problem

    client = app.test_client(client="alice")
    response = client.get("/")
    assert verdict_of(response) == "refused-by-app"
    assert b"secret" not in response.data
    assert type(problem).__name__ in client.refusals[0].reason
    assert "secret" in caplog.text


def test_abort_refuses_whatever_its_status(hc: Handclasp, app: Flask) -> None:
    hc.verify_client(lambda attempt: abort(200 + 204))
    assert verdict_of(app.test_client(client="alice").get("/")) == "refused-by-app"


def test_client_refused_gives_its_reason(hc: Handclasp, app: Flask) -> None:
    @hc.verify_client
    def verify(attempt: Attempt) -> bool:
        raise ClientRefused("reported stolen")

    client = app.test_client(client="alice")
    response = client.get("/")
    assert verdict_of(response) == "refused-by-app"
    assert json.loads(response.data)["detail"] == "reported stolen"
    assert client.refusals == [("refused-by-app", "reported stolen")]


def test_a_refusal_of_the_applications_own_class_reaches_its_handler_each_time(
    hc: Handclasp, app: Flask
) -> None:
    class Stolen(ClientRefused):
        def __init__(self, case: int) -> None:
            super().__init__("stolen")
            self.case = case

    @app.errorhandler(Stolen)
    def stolen(error: Stolen) -> tuple[str, int]:
        return f"case {error.case}", 403

    @hc.verify_client
    def verify(attempt: Attempt) -> bool:
        raise Stolen(7)

    client = app.test_client(client="alice", keep_alive=True)
    assert [client.get("/").text for _ in range(3)] == ["case 7"] * 3


def test_all_functions_must_admit(hc: Handclasp, app: Flask) -> None:
    asked: list[str] = []
    hc.verify_client(lambda attempt: asked.append("first") is None)
    hc.verify_client(lambda attempt: asked.append("second") is not None)
    hc.verify_client(lambda attempt: asked.append("third") is None)
    assert verdict_of(app.test_client(client="alice").get("/")) == "refused-by-app"
    assert asked == ["first", "second"]


@pytest.mark.parametrize(
    "changed",
    [
        Client("alice", ["meter", "reader"], {"room": 1}),
        Client("alice", ["meter"], {"room": 2}),
        Client("alice", ["meter"], {"room": True}),
        None,
    ],
)
def test_a_changed_record_is_another_question_on_an_open_connection(
    hc: Handclasp, app: Flask, changed: Client | None
) -> None:
    asked: list[Client | None] = []
    hc.verify_client(lambda attempt: asked.append(attempt.client) is None)
    record = Client("alice", ["meter"], {"room": 1})
    client = app.test_client(client=record, keep_alive=True)
    for _ in range(2):
        client.get("/")
    client.environ_base["handclasp.client"] = changed
    for _ in range(2):
        client.get("/")
    assert asked == [record, changed]


def test_an_async_function_is_asked(hc: Handclasp, app: Flask) -> None:
    pytest.importorskip("asgiref")

    @hc.verify_client
    async def verify(attempt: Attempt) -> bool:
        return attempt.client is not None and attempt.client.name == "alice"

    assert app.test_client(client="alice").get("/").text == "alice"
    assert verdict_of(app.test_client(client="bob").get("/")) == "refused-by-app"


def test_the_attempt_tells_all_there_is_to_know(hc: Handclasp, app: Flask) -> None:
    seen: list[Attempt] = []
    hc.verify_client(lambda attempt: seen.append(attempt) is None)
    app.test_client(client="alice", roles=["meter"], verdict="expired", address="192.0.2.1").get(
        "/"
    )
    (attempt,) = seen
    assert attempt.certificate is not None and attempt.certificate.subject.common_name == "alice"
    assert attempt.client is not None and attempt.client.roles == {"meter"}
    assert (attempt.address, attempt.verdict) == ("192.0.2.1", "expired")
    assert (attempt.error, attempt.depth, attempt.detail) == (10, 0, "")


def test_a_certificate_that_failed_may_be_admitted(hc: Handclasp, app: Flask) -> None:
    hc.verify_client(lambda attempt: attempt.verdict in ("ok", "expired"))
    assert app.test_client(client="alice", verdict="expired").get("/guarded").text == "alice"
    assert (
        verdict_of(app.test_client(client="alice", verdict="revoked").get("/")) == "refused-by-app"
    )


def test_nobody_is_asked_about_too_and_is_still_no_client(hc: Handclasp, app: Flask) -> None:
    seen: list[Attempt] = []
    hc.verify_client(lambda attempt: seen.append(attempt) is None)
    client = app.test_client()
    assert client.get("/").text == "nobody"
    assert (seen[0].certificate, seen[0].verdict) == (None, "no-certificate")
    assert verdict_of(client.get("/guarded")) == "no-certificate"


def test_a_function_that_forgets_that_there_may_be_no_certificate_refuses(
    hc: Handclasp, app: Flask
) -> None:
    hc.verify_client(lambda attempt: attempt.certificate.serial > 0)  # type: ignore[union-attr]
    client = app.test_client()
    assert verdict_of(client.get("/")) == "refused-by-app"
    assert "AttributeError" in client.refusals[0].reason


def test_with_nothing_in_front_everything_is_refused_unasked(hc: Handclasp, app: Flask) -> None:
    asked: list[Attempt] = []
    hc.verify_client(lambda attempt: asked.append(attempt) is None)
    response = FlaskClient(app, Response).get("/")
    assert verdict_of(response) == "no-certificate"
    assert "nothing in front" in json.loads(response.data)["detail"]
    assert asked == []


def test_a_refused_client_is_nobody_to_the_error_handler(hc: Handclasp, app: Flask) -> None:
    hc.verify_client(lambda attempt: False)

    @app.errorhandler(ClientRefused)
    def page(error: ClientRefused) -> tuple[str, int]:
        return f"{bool(current_certificate)} {bool(current_client)}", 403

    assert app.test_client(client="alice").get("/").text == "False False"


def test_functions_run_in_an_application_context_without_a_request(
    hc: Handclasp, app: Flask
) -> None:
    seen: list[Any] = []

    @hc.verify_client
    def verify(attempt: Attempt) -> bool:
        seen.append((current_app.name, bool(request)))
        return True

    app.test_client(client="alice").get("/")
    assert seen == [(app.name, False)]


# --- how often it is asked ------------------------------------------------------------------------


def counting(hc: Handclasp) -> list[Attempt]:
    asked: list[Attempt] = []
    hc.verify_client(lambda attempt: asked.append(attempt) is None)
    return asked


def test_it_is_asked_once_a_second_on_a_connection(hc: Handclasp, app: Flask, clock: Clock) -> None:
    asked = counting(hc)
    client = app.test_client(client="alice", keep_alive=True)
    for now, times in [(0.0, 1), (0.5, 1), (0.99, 1), (1.0, 2), (1.5, 2), (2.5, 3)]:
        clock.now = 1000 + now
        assert client.get("/").status_code == 200
        assert len(asked) == times, now


def test_it_is_asked_again_on_another_connection(hc: Handclasp, app: Flask, clock: Clock) -> None:
    asked = counting(hc)
    app.test_client(client="alice", keep_alive=True).get("/")
    app.test_client(client="alice", keep_alive=True).get("/")
    assert len(asked) == 2


def test_a_change_of_mind_counts_on_an_open_connection(
    hc: Handclasp, app: Flask, clock: Clock
) -> None:
    stolen: set[str] = set()
    hc.verify_client(lambda attempt: attempt.certificate.fingerprint_sha256 not in stolen)  # type: ignore[union-attr]
    client = app.test_client(client="alice", keep_alive=True)
    assert client.get("/").status_code == 200
    stolen.add(make_certificate("alice").fingerprint_sha256)
    clock.now += 1
    assert verdict_of(client.get("/")) == "refused-by-app"
    stolen.clear()
    clock.now += 1
    assert client.get("/").status_code == 200


def test_a_refusal_holds_for_the_interval_and_is_told_each_time(
    hc: Handclasp, app: Flask, clock: Clock
) -> None:
    asked: list[Attempt] = []
    hc.verify_client(lambda attempt: asked.append(attempt))  # type: ignore[func-returns-value]
    client = app.test_client(client="alice", keep_alive=True)
    for _ in range(3):
        client.get("/")
    assert (len(asked), len(client.refusals)) == (1, 3)


@pytest.mark.parametrize(
    "change",
    [
        "certificate",
        "client",
        "attributes",
        "verdict",
        "error",
        "depth",
        "detail",
        "address",
        "connection",
    ],
)
def test_an_answer_is_for_all_that_was_asked_about(
    hc: Handclasp, app: Flask, clock: Clock, change: str
) -> None:
    asked = counting(hc)
    base: dict[str, Any] = {
        "handclasp.connection": 1,
        "handclasp.certificate": make_certificate("alice"),
        "handclasp.client": Client("alice", ["reader"]),
        "handclasp.verdict": "ok",
        "REMOTE_ADDR": "192.0.2.1",
    }
    other = {
        "certificate": {"handclasp.certificate": make_certificate("bob")},
        "client": {"handclasp.client": Client("alice", ["meter"])},
        "attributes": {"handclasp.client": Client("alice", ["reader"], {"site": "7"})},
        "verdict": {"handclasp.verdict": "expired"},
        "error": {"handclasp.error": 10},
        "depth": {"handclasp.depth": 1},
        "detail": {"handclasp.verdict_detail": "since yesterday"},
        "address": {"REMOTE_ADDR": "192.0.2.2"},
        "connection": {"handclasp.connection": 2},
    }[change]
    client = FlaskClient(app, Response)
    client.get("/", environ_base=base)
    client.get("/", environ_base=base)
    assert len(asked) == 1
    client.get("/", environ_base={**base, **other})
    assert len(asked) == 2


def test_without_a_connection_it_is_asked_for_every_request(hc: Handclasp, app: Flask) -> None:
    asked = counting(hc)
    base = {"handclasp.certificate": make_certificate("alice"), "handclasp.verdict": "ok"}
    client = FlaskClient(app, Response)
    client.get("/", environ_base=base)
    client.get("/", environ_base=base)
    assert len(asked) == 2


def test_with_interval_zero_it_is_asked_for_every_request(
    hc: Handclasp, app: Flask, clock: Clock
) -> None:
    app.config["HANDCLASP_VERIFY_INTERVAL"] = 0
    asked = counting(hc)
    client = app.test_client(client="alice", keep_alive=True)
    client.get("/")
    client.get("/")
    assert len(asked) == 2


def test_a_slow_answer_ages_from_when_it_was_asked_for(
    hc: Handclasp, app: Flask, clock: Clock
) -> None:
    asked: list[Attempt] = []

    @hc.verify_client
    def slow(attempt: Attempt) -> bool:
        asked.append(attempt)
        clock.now += 5
        return True

    client = app.test_client(client="alice", keep_alive=True)
    client.get("/")
    client.get("/")
    assert len(asked) == 2


def test_the_answers_kept_are_bounded(hc: Handclasp, app: Flask, clock: Clock) -> None:
    app.config["HANDCLASP_VERIFY_CACHE"] = 3
    counting(hc)
    for _ in range(10):
        app.test_client(client="alice").get("/")
    assert len(app.extensions["handclasp"].answers) == 3


def test_answers_are_kept_for_many_threads_at_once(hc: Handclasp, app: Flask) -> None:
    app.config["HANDCLASP_VERIFY_CACHE"] = 8
    hc.verify_client(lambda attempt: attempt.client is not None and attempt.client.name == "alice")
    start = threading.Barrier(8)

    def many(number: int) -> set[int]:
        name = "alice" if number % 2 else "bob"
        client = app.test_client(client=name, keep_alive=number < 4)
        start.wait()
        return {client.get("/").status_code for _ in range(100)}

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(many, range(8)))
    assert results == [{403}, {200}] * 4


def test_a_younger_answer_is_not_replaced_by_an_older_one() -> None:
    answers: RecentAnswers[str] = RecentAnswers()
    answers.put("k", 2.0, "younger", 10)
    answers.put("k", 1.0, "older", 10)
    assert answers.get("k", 2.5, 1.0) == "younger"


def test_an_answer_from_the_future_is_none() -> None:
    answers: RecentAnswers[str] = RecentAnswers()
    answers.put("k", 2.0, "answer", 10)
    assert answers.get("k", 1.0, 1.0) is None


# --- exempt paths ---------------------------------------------------------------------------------


@pytest.fixture
def exempt(hc: Handclasp, app: Flask) -> Flask:
    app.config["HANDCLASP_VERIFY_EXEMPT"] = ("/healthz",)
    hc.verify_client(lambda attempt: False)
    app.add_url_rule("/<path:anything>", view_func=lambda anything: "caught")
    return app


@pytest.mark.parametrize("path", ["/healthz", "/healthz?x=1", "/healthz/deep"])
def test_an_exempt_path_is_let_through_and_knows_nobody(exempt: Flask, path: str) -> None:
    assert exempt.test_client(client="alice").get(path).text == "fine False False"
    assert exempt.test_client().get(path).text == "fine False False"


@pytest.mark.parametrize(
    "path",
    [
        "/healthzz",
        "/Healthz",
        "/health",
        "/healthz/../guarded",
        "/healthz/./x",
        "/healthz/..",
        "//healthz",
        "/healthz//x",
        "/healthz%2f..%2fguarded",
        "/healthz/..%5cguarded",
        "/healthz/%00",
        "/",
    ],
)
def test_a_path_that_only_looks_exempt_is_refused(exempt: Flask, path: str) -> None:
    assert exempt.test_client(client="alice").get(path).status_code == 403


def test_a_guarded_view_on_an_exempt_path_stays_guarded(exempt: Flask) -> None:
    exempt.add_url_rule(
        "/healthz/secret/key", view_func=client_required(lambda: "secret"), endpoint="key"
    )
    assert exempt.test_client(client="alice").get("/healthz/secret/key").status_code == 403


def test_an_exemption_set_wrongly_later_opens_nothing(exempt: Flask) -> None:
    exempt.config["HANDCLASP_VERIFY_EXEMPT"] = "/healthz"
    with pytest.raises(ValueError, match="list of paths"):
        exempt.test_client(client="alice").get("/")


def test_middleware_that_moves_a_request_off_an_exempt_path_exempts_nothing(exempt: Flask) -> None:
    # Inside the guard, as with a router that rewrites.
    guard: Any = exempt.wsgi_app
    inner = guard.inner

    def rewriting(environ: Any, start_response: Any) -> Any:
        environ["PATH_INFO"] = "/guarded"
        return inner(environ, start_response)

    guard.inner = rewriting
    assert exempt.test_client(client="alice").get("/healthz").status_code == 403


def test_a_prefix_that_the_client_chose_exempts_nothing(exempt: Flask) -> None:
    exempt.wsgi_app = ProxyFix(exempt.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
    chosen = {"X-Forwarded-Prefix": "/healthz"}
    client = exempt.test_client(client="alice")
    assert client.get("/guarded", headers=chosen).status_code == 403
    assert client.get("/", headers=chosen).status_code == 403
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/healthz", 200),
        ("/health%7A?x=1", 200),
        ("https://localhost/healthz?x=/", 200),
        ("/guarded", 403),
        ("/guarded?://x/healthz", 403),
        ("https://localhost/guarded?/healthz", 403),
        ("https://localhost", 403),
        ("/healthz/..%2fguarded", 403),
        ("*", 403),
    ],
)
def test_the_target_must_be_exempt_too(exempt: Flask, target: str, status: int) -> None:
    client = exempt.test_client(client="alice")
    response = client.get("/healthz", environ_overrides={"REQUEST_URI": target})
    assert response.status_code == status


def test_where_the_server_tells_no_target_the_path_counts_alone(exempt: Flask) -> None:
    client = exempt.test_client(client="alice")
    unknown = {"REQUEST_URI": None, "RAW_URI": None}
    assert client.get("/healthz", environ_overrides=unknown).status_code == 200
    assert client.get("/guarded", environ_overrides=unknown).status_code == 403


# --- what else may run for a request --------------------------------------------------------------


def test_a_body_that_outlives_its_request_knows_nobody(hc: Handclasp, app: Flask) -> None:
    hc.verify_client(lambda attempt: True)

    def known() -> Iterator[str]:
        yield str(bool(current_certificate))

    app.add_url_rule("/bare", view_func=lambda: Response(known()), endpoint="bare")
    app.add_url_rule(
        "/with", view_func=lambda: Response(stream_with_context(known())), endpoint="with"
    )
    client = app.test_client(client="alice")
    assert client.get("/bare").text == "False"
    assert client.get("/with").text == "True"


def test_a_thread_knows_the_client_of_the_request_it_was_started_for(
    hc: Handclasp, app: Flask
) -> None:
    hc.verify_client(lambda attempt: True)

    def name() -> str:
        return current_certificate.subject.common_name or "" if current_certificate else "nobody"

    @app.get("/threads")
    def threads() -> list[str]:
        with ThreadPoolExecutor(1) as pool:
            bare = pool.submit(name).result()
            return [bare, pool.submit(copy_current_request_context(name)).result()]

    assert app.test_client(client="alice").get("/threads").json == ["nobody", "alice"]


def test_a_copied_environ_takes_the_decision_along_for_its_client_alone(
    hc: Handclasp, app: Flask
) -> None:
    hc.verify_client(lambda attempt: attempt.address != "192.0.2.66")
    guard: Any = app.wsgi_app
    inner = guard.inner
    changes: dict[str, Any] = {}

    def copying(environ: Any, start_response: Any) -> Any:
        return inner({**environ, **changes}, start_response)

    guard.inner = copying
    client = app.test_client(client="alice")
    assert client.get("/guarded").text == "alice"
    changes["handclasp.certificate"] = make_certificate("mallory")
    assert client.get("/guarded").text == "mallory"  # asked about again, and admitted
    changes["REMOTE_ADDR"] = "192.0.2.66"
    assert verdict_of(client.get("/guarded")) == "refused-by-app"


def test_a_keyboard_interrupt_is_no_answer(hc: Handclasp, app: Flask) -> None:
    @hc.verify_client
    def verify(attempt: Attempt) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        app.test_client(client="alice").get("/")
    assert len(app.extensions["handclasp"].answers) == 0
