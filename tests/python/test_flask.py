"""handclasp.flask: who may reach a view, and what the view then knows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, jsonify, request
from flask.testing import FlaskClient
from flask.views import MethodView, View
from werkzeug.exceptions import Forbidden, HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response as PlainResponse

from handclasp.flask import (
    ClientRefused,
    Handclasp,
    client_required,
    current_certificate,
    current_client,
)
from handclasp.testing import HandclaspClient, make_certificate


def make_app(hc: Handclasp | None = None) -> Flask:
    app = Flask(__name__)
    app.testing = True
    app.test_client_class = HandclaspClient
    (hc or Handclasp()).init_app(app)

    @app.get("/open")
    def open_to_all() -> str:
        return f"{current_certificate.subject if current_certificate else 'nobody'}"

    @app.get("/who")
    @client_required
    def who() -> str:
        return f"{current_certificate.subject.common_name} {current_certificate.serial:x}"

    @app.get("/meters")
    @client_required(role="meter")
    def meters() -> str:
        return current_client.name

    return app


@pytest.fixture
def app() -> Flask:
    return make_app()


def problem(response: TestResponse) -> dict[str, Any]:
    """The problem of a refusal, whose form is checked on the way."""
    assert response.status_code == 403, response.data
    assert response.content_type == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = json.loads(response.data)
    assert (body["type"], body["title"], body["status"]) == ("about:blank", "Forbidden", 403)
    return body


# --- client_required ---------------------------------------------------------------------------


def test_a_guarded_view_sees_the_clients_certificate(app: Flask) -> None:
    alice = make_certificate("alice")
    response = app.test_client(certificate=alice).get("/who")
    assert response.text == f"alice {alice.serial_hex}"


def test_without_a_certificate_a_guarded_view_is_refused(app: Flask) -> None:
    assert problem(app.test_client().get("/who"))["verdict"] == "no-certificate"


@pytest.mark.parametrize(
    "verdict", ["expired", "untrusted-issuer", "revoked", "no-such-verdict", ""]
)
def test_a_certificate_that_failed_is_no_identity(app: Flask, verdict: str) -> None:
    client = app.test_client(client="alice", verdict=verdict)
    assert problem(client.get("/who"))["verdict"] == verdict
    assert client.get("/open").text == "nobody"


def test_a_role_of_the_record_admits(app: Flask) -> None:
    assert app.test_client(client="alice", roles=["x", "meter"]).get("/meters").text == "alice"


def test_another_role_does_not_admit(app: Flask) -> None:
    client = app.test_client(client="alice", roles=["metering"])
    body = problem(client.get("/meters"))
    assert body["verdict"] == "refused-by-app"
    assert "'meter'" in body["detail"]
    assert client.refusals == [("refused-by-app", "'alice' lacks role 'meter'")]


def test_without_a_record_there_is_no_role_and_the_refusal_says_so(app: Flask) -> None:
    body = problem(app.test_client(certificate=make_certificate("alice")).get("/meters"))
    assert "no record" in body["detail"]


def test_any_of_several_roles_admits(app: Flask) -> None:
    @app.get("/staff")
    @client_required(any_role=("admin", "clerk"))
    def staff() -> str:
        return "staff"

    assert app.test_client(client="a", roles=["clerk"]).get("/staff").status_code == 200
    assert app.test_client(client="a", roles=["meter"]).get("/staff").status_code == 403


@pytest.mark.parametrize(
    "wanted",
    [
        {"role": "a", "any_role": ["b"]},
        {"any_role": "abc"},
        {"any_role": []},
        {"any_role": [""]},
        {"role": ""},
        {"role": ["a"]},
    ],
)
def test_a_role_that_cannot_be_meant_is_an_error_at_once(wanted: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        client_required(**wanted)
    with pytest.raises(TypeError):
        Handclasp().require_client(**wanted)


def test_a_plain_server_hands_over_nothing_and_the_refusal_says_what_to_do(app: Flask) -> None:
    body = problem(FlaskClient(app, Response).get("/who"))
    assert "nothing in front" in body["detail"] and "handclasp serve" in body["detail"]
    assert FlaskClient(app, Response).get("/open").text == "nobody"


def test_no_header_becomes_identity(app: Flask) -> None:
    spellings = [
        "handclasp.certificate",
        "Handclasp-Verdict",
        "Handclasp_Verdict",
        "SSL_CLIENT_VERIFY",
    ]
    headers = [(name, "ok") for name in spellings]
    body = problem(FlaskClient(app, Response).get("/who", headers=headers))
    assert "nothing in front" in body["detail"]


@pytest.mark.parametrize("wrong", ["alice", b"der", object(), True])
def test_an_environ_with_something_else_for_a_certificate_is_no_identity(
    app: Flask, wrong: object
) -> None:
    base = {"handclasp.verdict": "ok", "handclasp.certificate": wrong, "handclasp.client": wrong}
    assert (
        problem(FlaskClient(app, Response).get("/who", environ_base=base))["verdict"]
        == "no-certificate"
    )


@pytest.mark.parametrize("wrong", [True, 1, b"ok", None])
def test_a_verdict_that_is_no_text_is_no_verdict(app: Flask, wrong: object) -> None:
    base = {"handclasp.verdict": wrong, "handclasp.certificate": make_certificate("alice")}
    problem(FlaskClient(app, Response).get("/who", environ_base=base))


def test_an_async_view_is_guarded_and_sees_its_client(app: Flask) -> None:
    pytest.importorskip("asgiref")

    @app.get("/async")
    @client_required(role="meter")
    async def async_view() -> str:
        await asyncio.sleep(0)
        return current_client.name

    assert app.test_client(client="alice", roles=["meter"]).get("/async").text == "alice"
    problem(app.test_client().get("/async"))


def test_class_based_views_are_guarded_whole_or_by_method(app: Flask) -> None:
    class Whole(View):
        decorators = [client_required(role="meter")]

        def dispatch_request(self) -> str:
            return current_client.name

    class ByMethod(MethodView):
        def get(self) -> str:
            return "open"

        @client_required
        def post(self) -> str:
            return "posted"

    app.add_url_rule("/whole", view_func=Whole.as_view("whole"))
    app.add_url_rule("/method", view_func=ByMethod.as_view("method"))
    alice = app.test_client(client="alice", roles=["meter"])
    assert alice.get("/whole").text == "alice"
    assert alice.post("/method").text == "posted"
    nobody = app.test_client()
    problem(nobody.get("/whole"))
    problem(nobody.post("/method"))
    assert nobody.get("/method").text == "open"


def test_decorating_a_class_is_an_error_that_says_how(app: Flask) -> None:
    class Guarded(View):
        pass

    with pytest.raises(TypeError, match="decorators = "):
        client_required(Guarded)


def test_a_guard_above_the_route_is_found_out(app: Flask) -> None:
    @client_required
    @app.get("/wrong-order")
    def view() -> str:
        return "unguarded"

    with pytest.raises(RuntimeError, match="below the route"):
        app.test_client(client="alice").get("/wrong-order")
    app.testing = False
    assert app.test_client().get("/wrong-order").status_code == 500


def test_a_blueprint_is_guarded_by_its_before_request() -> None:
    hc = Handclasp()
    app = make_app(hc)
    blueprint = Blueprint("meters", __name__)
    blueprint.before_request(hc.require_client(role="meter"))

    @blueprint.get("/reading")
    def reading() -> str:
        return current_client.name

    app.register_blueprint(blueprint, url_prefix="/bp")
    assert app.test_client(client="alice", roles=["meter"]).get("/bp/reading").text == "alice"
    problem(app.test_client(client="bob").get("/bp/reading"))
    assert app.test_client().get("/open").status_code == 200


def test_a_whole_application_is_guarded_by_its_before_request() -> None:
    hc = Handclasp()
    app = make_app(hc)
    app.before_request(hc.require_client())
    problem(app.test_client().get("/open"))
    problem(app.test_client().get("/no-such-page"))
    assert app.test_client(client="alice").get("/open").status_code == 200


def test_the_decorator_works_on_an_application_without_the_extension() -> None:
    app = Flask(__name__)
    app.test_client_class = HandclaspClient
    app.add_url_rule(
        "/who", view_func=client_required(lambda: current_certificate.subject.common_name)
    )
    assert app.test_client(client="alice").get("/who").text == "alice"
    nobody = app.test_client()
    problem(nobody.get("/who"))
    assert nobody.refusals == [("no-certificate", "a client certificate is needed here")]


# --- current_client, current_certificate --------------------------------------------------------


def test_the_proxies_are_falsy_without_a_client_and_outside_of_a_request(app: Flask) -> None:
    assert not current_client
    assert not current_certificate
    with app.test_request_context():
        assert not current_client
        assert not current_certificate


def test_a_client_without_a_record_has_a_certificate_alone(app: Flask) -> None:
    @app.get("/both")
    def both() -> dict[str, bool]:
        return {"client": bool(current_client), "certificate": bool(current_certificate)}

    response = app.test_client(certificate=make_certificate("alice")).get("/both")
    assert response.json == {"client": False, "certificate": True}


def test_the_record_gives_name_roles_and_attributes(app: Flask) -> None:
    @app.get("/record")
    def record() -> Response:
        roles = sorted(current_client.roles)
        return jsonify([current_client.name, roles, dict(current_client.attributes)])

    client = app.test_client(client="alice", roles=["b", "a"], attributes={"site": "7"})
    assert client.get("/record").json == ["alice", ["a", "b"], {"site": "7"}]


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("handled", [ClientRefused, Forbidden, 403, HTTPException])
def test_an_error_handler_renders_a_refusal(app: Flask, handled: Any) -> None:
    @app.errorhandler(handled)
    def page(error: Any) -> tuple[str, int]:
        return f"sorry: {error.verdict}: {error.reason}", 418

    response = app.test_client().get("/who")
    assert (response.status_code, response.text) == (
        418,
        "sorry: no-certificate: a client certificate is needed here",
    )


def test_an_async_error_handler_renders_a_refusal(app: Flask) -> None:
    pytest.importorskip("asgiref")

    @app.errorhandler(ClientRefused)
    async def page(error: ClientRefused) -> tuple[str, int]:
        return "sorry", 403

    assert app.test_client().get("/who").text == "sorry"


def test_a_view_may_refuse_for_reasons_of_its_own(app: Flask) -> None:
    @app.get("/late")
    def late() -> str:
        raise ClientRefused("the shop is closed", log_reason="after hours")

    client = app.test_client(client="alice")
    body = problem(client.get("/late"))
    assert (body["detail"], body["verdict"]) == ("the shop is closed", "refused-by-app")
    assert client.refusals == [("refused-by-app", "after hours")]


def test_a_refusal_is_told_to_the_server_once_a_request(app: Flask) -> None:
    client = app.test_client(client="alice")
    client.get("/meters")
    assert len(client.refusals) == 1
    client.get("/meters")
    assert len(client.refusals) == 2


def test_a_refusal_is_rendered_even_where_the_server_cannot_be_told(app: Flask) -> None:
    def fails(reason: str, verdict: str) -> None:
        raise OSError("gone")

    problem(app.test_client().get("/who", environ_base={"handclasp.refuse": fails}))


def test_text_in_a_refusal_cannot_break_out_of_the_problem(app: Flask) -> None:
    @app.get("/odd")
    def odd() -> str:
        raise ClientRefused('"}\r\n<script>Zoë')

    assert problem(app.test_client().get("/odd"))["detail"] == '"}\r\n<script>Zoë'


def test_a_refusal_is_told_under_the_verdict_of_the_response(app: Flask) -> None:
    for client in (app.test_client(), app.test_client(client="alice", verdict="expired")):
        body = problem(client.get("/who"))
        assert [refusal.verdict for refusal in client.refusals] == [body["verdict"]]


def test_a_reason_that_is_no_unicode_or_made_when_shown_still_refuses(app: Flask) -> None:
    class Later:
        def __str__(self) -> str:
            return "later"

    reasons: list[Any] = ["broken \udcff", Later()]
    app.add_url_rule("/say", view_func=lambda: raise_refused(reasons[0]), endpoint="say")
    client = app.test_client(client="alice")
    assert problem(client.get("/say"))["detail"] == "broken \udcff"
    del reasons[0]
    assert problem(client.get("/say"))["detail"] == "later"
    assert [refusal.reason for refusal in client.refusals] == ["broken \udcff", "later"]


def raise_refused(reason: Any) -> str:
    raise ClientRefused(reason)


# --- init_app -----------------------------------------------------------------------------------


def test_one_extension_serves_several_applications_of_a_factory() -> None:
    hc = Handclasp()
    asked: list[str] = []

    @hc.verify_client
    def verify(attempt: Any) -> bool:
        from flask import current_app

        asked.append(current_app.name)
        return True

    one, two = make_app(hc), make_app(hc)
    one.name, two.name = "one", "two"
    certificate = make_certificate("alice")
    same = {"handclasp.connection": 7}
    for app in (one, two, one):
        response = FlaskClient(app, Response).get(
            "/who",
            environ_base={"handclasp.verdict": "ok", "handclasp.certificate": certificate, **same},
        )
        assert response.status_code == 200
    assert asked == ["one", "two"]


def test_init_app_twice_asks_once() -> None:
    hc = Handclasp()
    app = make_app(hc)
    calls: list[Any] = []
    hc.verify_client(lambda attempt: calls.append(attempt) is None)
    hc.init_app(app)
    assert app.test_client(client="alice").get("/who").status_code == 200
    assert len(calls) == 1


def test_a_second_extension_is_an_error(app: Flask) -> None:
    with pytest.raises(RuntimeError, match="another Handclasp"):
        Handclasp(app)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INTERVAL", -1),
        ("INTERVAL", float("nan")),
        ("INTERVAL", float("inf")),
        ("INTERVAL", "1"),
        ("INTERVAL", True),
        ("CACHE", -1),
        ("CACHE", 1.5),
        ("EXEMPT", "/healthz"),
        ("EXEMPT", ["healthz"]),
        ("EXEMPT", ["/"]),
        ("EXEMPT", ["/healthz/"]),
        ("EXEMPT", [b"/healthz"]),
    ],
)
def test_a_setting_that_makes_no_sense_is_an_error_at_start(name: str, value: object) -> None:
    app = Flask(__name__)
    app.config[f"HANDCLASP_VERIFY_{name}"] = value
    with pytest.raises(ValueError, match=f"HANDCLASP_VERIFY_{name}"):
        Handclasp(app)


# --- middleware ---------------------------------------------------------------------------------


class Answering:
    """Middleware that answers some paths itself."""

    def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
        self.inner = inner

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/by-middleware":
            return PlainResponse("by middleware")(environ, start_response)
        return self.inner(environ, start_response)


def refusing() -> Handclasp:
    hc = Handclasp()
    hc.verify_client(lambda attempt: False)
    return hc


def bare_app() -> Flask:
    app = Flask(__name__)
    app.testing = True
    app.test_client_class = HandclaspClient
    app.add_url_rule("/", view_func=lambda: "reached")
    return app


def test_a_refused_client_reaches_no_middleware_inside() -> None:
    app = bare_app()
    app.wsgi_app = Answering(app.wsgi_app)  # type: ignore[method-assign]
    refusing().init_app(app)
    problem(app.test_client(client="alice").get("/by-middleware"))


@pytest.mark.parametrize("before", [True, False])
def test_a_client_is_known_with_proxy_fix_before_and_after(before: bool) -> None:
    app = bare_app()
    hc = Handclasp()
    seen: list[Any] = []
    hc.verify_client(lambda attempt: seen.append(attempt.certificate) is None)
    app.add_url_rule("/who", view_func=client_required(lambda: request.remote_addr), endpoint="who")
    if before:
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    hc.init_app(app)
    if not before:
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    client = app.test_client(client="alice")
    response = client.get("/who", headers={"X-Forwarded-For": "192.0.2.7"})
    assert response.text == "192.0.2.7"
    assert seen == [make_certificate("alice")]


def test_the_application_is_guarded_where_its_wsgi_app_is_replaced() -> None:
    app = bare_app()
    inner = app.wsgi_app
    refusing().init_app(app)
    app.wsgi_app = inner  # type: ignore[method-assign]
    problem(app.test_client(client="alice").get("/"))


def test_who_middleware_inside_says_the_client_is_is_asked_about_again() -> None:
    app = bare_app()
    hc = Handclasp()
    hc.verify_client(
        lambda attempt: (
            attempt.certificate is None or attempt.certificate.subject.common_name != "mallory"
        )
    )

    class Changing:
        def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
            self.inner = inner

        def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
            environ["handclasp.certificate"] = make_certificate("mallory")
            return self.inner(environ, start_response)

    app.wsgi_app = Changing(app.wsgi_app)  # type: ignore[method-assign]
    hc.init_app(app)
    problem(app.test_client(client="alice").get("/"))


@pytest.mark.parametrize("path", ["/", "/static/file.txt", "/no-such-page"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_a_refused_client_gets_nothing_from_any_path(tmp_path: Any, path: str, method: str) -> None:
    (tmp_path / "file.txt").write_text("static")
    app = Flask(__name__, static_folder=str(tmp_path), static_url_path="/static")
    app.test_client_class = HandclaspClient
    ran: list[str] = []
    app.add_url_rule("/", view_func=lambda: ran.append("view") or "reached")
    app.before_request(lambda: ran.append("before_request"))
    app.url_value_preprocessor(lambda endpoint, values: ran.append("preprocessor"))
    refusing().init_app(app)
    response = app.test_client(client="alice").open(path, method=method)
    assert response.status_code == 403
    assert ran == []


def test_after_request_functions_see_a_refusal() -> None:
    app = bare_app()

    @app.after_request
    def mark(response: Response) -> Response:
        response.headers["X-Marked"] = "yes"
        return response

    refusing().init_app(app)
    assert app.test_client(client="alice").get("/").headers["X-Marked"] == "yes"


def test_a_trapped_refusal_is_still_none_of_the_view() -> None:
    app = bare_app()
    app.testing = False
    app.config["TRAP_HTTP_EXCEPTIONS"] = True
    refusing().init_app(app)
    response = app.test_client(client="alice").get("/")
    assert response.status_code == 500
    assert b"reached" not in response.data


def test_an_application_that_dispatches_in_its_own_way_still_tells_a_refused_client_nothing() -> None:
    class Hasty(Flask):
        def full_dispatch_request(self, *args: Any) -> Response:
            return self.make_response("reached")

    app = Hasty(__name__)
    app.test_client_class = HandclaspClient
    refusing().init_app(app)
    with pytest.raises(RuntimeError, match="not stopped"):
        app.test_client(client="alice").get("/")
