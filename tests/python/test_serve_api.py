"""handclasp.serve and live_server: the real server around an application of this process."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import pytest
from flask import Flask, request

from handclasp import __version__, _core, _serve
from handclasp._serve import ServeError, Server, find_binary, flags
from handclasp.flask import (
    ClientRefused,
    Handclasp,
    client_required,
    current_certificate,
    current_client,
)
from handclasp.testing import LiveClient, LiveServer

try:
    find_binary()
except FileNotFoundError:
    pytest.skip("the program handclasp is not there", allow_module_level=True)


@pytest.fixture
def hc() -> Handclasp:
    return Handclasp()


@pytest.fixture
def app(hc: Handclasp) -> Flask:
    app = Flask(__name__)
    hc.init_app(app)

    @app.get("/")
    @client_required
    def who() -> str:
        return f"{current_certificate.subject.common_name} {current_certificate.serial_hex}"

    @app.get("/record")
    def record() -> str:
        who = f"{current_client.name} {sorted(current_client.roles)}" if current_client else "nobody"
        return f"{bool(current_certificate)} {who}"

    @app.get("/certificates")
    def certificates() -> list[dict[str, Any]]:
        return [
            {
                "serial": one.serial_hex,
                "fingerprint": one.fingerprint_sha256,
                "status": one.status,
                "current": one.current,
            }
            for one in current_client.certificates
        ]

    @app.post("/revoke")
    def revoke() -> str:
        current_client.revoke(request.get_json(), "superseded")
        return "revoked"

    @app.get("/meters")
    @client_required(role="meter")
    def meters() -> str:
        return "meter"

    @app.post("/echo")
    def echo() -> bytes:
        return request.get_data()

    @app.get("/process")
    def process() -> dict[str, Any]:
        environ = request.environ
        return {
            "pid": os.getpid(),
            "thread": threading.current_thread().name,
            "multithread": environ["wsgi.multithread"],
            "multiprocess": environ["wsgi.multiprocess"],
        }

    return app


# --- the real server ----------------------------------------------------------------------------


def test_alice_is_known_over_tls(live_server: LiveServer) -> None:
    response = live_server.client("alice").get("/")
    pem = (live_server.state / "clients" / "alice.pem").read_text()
    decoded = _core.decode_certificate(ssl.PEM_cert_to_DER_cert(pem))
    assert (response.status, response.text) == (200, f"alice {decoded['serial']}")


def test_who_shows_no_certificate_reaches_nothing(live_server: LiveServer) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        live_server.client().get("/record")


def test_a_client_has_its_record_and_the_roles_in_it(live_server: LiveServer) -> None:
    alice, meter = live_server.client("alice"), live_server.client("meter-1", roles=["meter"])
    assert alice.get("/record").text == "True alice []"
    assert meter.get("/record").text == "True meter-1 ['meter']"
    assert meter.get("/meters").text == "meter"
    refused = alice.get("/meters")
    assert refused.status == 403
    assert refused.json["verdict"] == "refused-by-app"
    assert refused.json["detail"] == "role 'meter' is needed"


class TestWithoutARegistry:
    @pytest.fixture
    def handclasp_options(self) -> dict[str, _serve.Option]:
        return {"registry": "none"}

    def test_there_is_a_certificate_and_no_record(self, live_server: LiveServer) -> None:
        client = live_server.client("alice")
        assert client.get("/").text.startswith("alice ")
        assert client.get("/record").text == "True nobody"
        assert "no record" in client.get("/meters").json["detail"]


def test_a_view_asks_and_changes_its_own_client(live_server: LiveServer) -> None:
    carol = live_server.client("carol")
    (mine,) = carol.get("/certificates").json
    assert carol.get("/").text == f"carol {mine['serial']}"
    assert (mine["status"], mine["current"]) == ("active", True)
    assert carol.post("/revoke", json=mine["fingerprint"]).text == "revoked"
    deadline = time.monotonic() + 10
    while (refused := carol.get("/")).status == 200:
        assert time.monotonic() < deadline
    assert (refused.status, refused.json["verdict"]) == (403, "revoked")


def test_a_body_goes_through_and_back(live_server: LiveServer) -> None:
    body = os.urandom(300_000)
    assert live_server.client("alice").post("/echo", body=body).data == body


def test_the_application_runs_in_this_process(live_server: LiveServer) -> None:
    seen = live_server.client("alice").get("/process").json
    assert seen["pid"] == os.getpid()
    assert (seen["multithread"], seen["multiprocess"]) == (True, False)


def test_verify_client_is_asked_once_for_an_open_connection(
    live_server: LiveServer, hc: Handclasp, app: Flask
) -> None:
    app.config["HANDCLASP_VERIFY_INTERVAL"] = 3600.0
    asked: list[str] = []

    @hc.verify_client
    def verify(attempt: Any) -> bool:
        asked.append(f"{attempt.certificate.subject.common_name} {attempt.verdict}")
        if attempt.certificate.subject.common_name == "mallory":
            raise ClientRefused("reported stolen")
        return True

    alice = live_server.client("alice")
    assert [alice.get("/").status for _ in range(3)] == [200] * 3
    mallory = live_server.client("mallory")
    assert [mallory.get("/").status for _ in range(2)] == [403] * 2
    assert asked == ["alice ok", "mallory ok"]
    assert mallory.get("/no-such-page").json["detail"] == "reported stolen"


class TestOptional:
    @pytest.fixture
    def handclasp_options(self) -> dict[str, _serve.Option]:
        return {"client_cert": "optional"}

    def test_who_shows_no_certificate_is_nobody(self, live_server: LiveServer) -> None:
        client = live_server.client()
        assert client.get("/record").text == "False nobody"
        assert client.get("/").json["verdict"] == "no-certificate"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
class TestRequest:
    @pytest.fixture
    def handclasp_options(self) -> dict[str, _serve.Option]:
        return {"client_cert": "request"}

    @pytest.fixture
    def stranger(self, live_server: LiveServer, tmp_path: Path) -> LiveClient:
        """Shows a certificate that no CA of the server's has signed."""
        key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ]
        command += [
            "-nodes",
            "-subj",
            "/CN=stranger",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ]
        subprocess.run(command, check=True, capture_output=True)
        context = live_server.ssl_context()
        context.load_cert_chain(certificate, key)
        return LiveClient(live_server.url, context)

    def test_a_failed_certificate_is_no_identity(self, stranger: LiveClient) -> None:
        with stranger:
            assert stranger.get("/record").text == "False nobody"
            assert stranger.get("/").json["verdict"] == "untrusted-issuer"

    def test_verify_client_sees_why_it_failed_and_may_admit_it(
        self, stranger: LiveClient, hc: Handclasp
    ) -> None:
        seen: list[tuple[str, bool, int]] = []

        @hc.verify_client
        def verify(attempt: Any) -> bool:
            seen.append((attempt.verdict, attempt.error in (18, 20), attempt.depth))
            return True

        with stranger:
            assert stranger.get("/").text.startswith("stranger ")
        assert seen == [("untrusted-issuer", True, 0)]


def test_a_view_that_raises_keyboard_interrupt_takes_no_lane_along(
    app: Flask, handclasp_state: Path
) -> None:
    @app.get("/interrupt")
    def interrupt() -> str:
        raise KeyboardInterrupt

    with Server(app, port=0, threads=2, options={"state": handclasp_state}) as server:
        live = LiveServer(server.url.replace("127.0.0.1", "localhost"), handclasp_state)
        with contextlib.closing(live):
            for _ in range(3):
                assert live.client("alice").get("/interrupt").status == 500
            assert live.client("alice").get("/").status == 200


# --- Server -------------------------------------------------------------------------------------


def test_the_front_ends_with_the_block(app: Flask, handclasp_state: Path) -> None:
    with Server(app, port=0, options={"state": handclasp_state}) as server:
        front = server._front
        assert front is not None and front.poll() is None
        port = int(server.url.rpartition(":")[2])
    assert front.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_stop_does_not_wait_for_a_view_that_hangs(app: Flask, handclasp_state: Path) -> None:
    within, go_on = threading.Event(), threading.Event()

    @app.get("/hang")
    def hang() -> str:
        within.set()
        go_on.wait(30)
        return ""

    server = Server(app, port=0, threads=6, options={"state": handclasp_state})
    server.start()
    threads = list(server._running)
    live = LiveServer(server.url.replace("127.0.0.1", "localhost"), handclasp_state)

    def ask() -> None:
        with contextlib.suppress(http.client.HTTPException, OSError):
            live.client("alice").get("/hang")

    with contextlib.closing(live):
        asking = threading.Thread(target=ask)
        asking.start()
        assert within.wait(10)
        began = time.monotonic()
        server.stop(grace_s=0.1)
        assert time.monotonic() - began < 4  # one second for all threads, not for each
        go_on.set()
        for thread in [*threads, asking]:
            thread.join(10)
            assert not thread.is_alive()


def test_a_front_that_cannot_start_is_an_error(
    app: Flask, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    threads = threading.active_count()
    with pytest.raises(ServeError, match="ended with status"):
        Server(app, port=0, options={"state": tmp_path / "missing"}).start()
    assert str(tmp_path / "missing") in capfd.readouterr().err
    assert threading.active_count() == threads


def test_a_program_that_is_not_there_is_an_error(app: Flask) -> None:
    with pytest.raises(FileNotFoundError):
        Server(app, binary="/no/such/program").start()


def test_a_server_is_started_once(app: Flask, handclasp_state: Path) -> None:
    with Server(app, port=0, options={"state": handclasp_state}) as server:
        with pytest.raises(RuntimeError, match="once"):
            server._launch()
    server.stop()


def test_a_front_that_dies_is_an_error(app: Flask, handclasp_state: Path) -> None:
    server = Server(app, port=0, options={"state": handclasp_state})
    server.start()
    assert server._front is not None
    server._front.kill()
    with pytest.raises(ServeError):
        server.wait()
    server.stop()


@pytest.mark.parametrize(("argument", "wrong"), [("app", 7), ("threads", 0)])
def test_arguments_that_make_no_sense_are_errors(app: Flask, argument: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Server(**{"app": app, argument: wrong})


def test_a_server_without_a_front_has_no_url(app: Flask) -> None:
    with pytest.raises(RuntimeError, match="listen"):
        _ = Server(app).url


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"client_cert": "optional"}, ["--client-cert=optional"]),
        ({"ca_certs": ["a.pem", Path("b.pem")]}, ["--ca-certs=a.pem", "--ca-certs=b.pem"]),
        ({"proxy_protocol": True, "reload": False, "crl": None}, ["--proxy-protocol"]),
        ({"timeout": 2.5, "workers": 3}, ["--timeout=2.5", "--workers=3"]),
        ({"certfile": Path("-odd")}, ["--certfile=-odd"]),
    ],
)
def test_keyword_arguments_become_flags(options: dict[str, Any], expected: list[str]) -> None:
    assert flags(options) == expected


# --- handclasp.serve, in a process of its own ---------------------------------------------------

SCRIPT = """
import os, sys, threading
import handclasp
from flask import Flask
app = Flask("script")
@app.get("/")
def index():
    return threading.current_thread().name
@app.get("/die")
def die():
    os._exit(7)
handclasp.serve(app, port=0, threads={threads}, state={state!r})
print("returned", flush=True)
"""


class Script:
    """A program that calls handclasp.serve; its log is read for the address."""

    def __init__(self, state: Path, threads: int) -> None:
        paths = [*sys.path, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        build = os.environ.get("HC_BUILD")
        prelude = ""
        if build:
            prelude = f"import handclasp; handclasp.__path__.append({build + '/python'!r})\n"
        self.process = subprocess.Popen(
            [sys.executable, "-c", prelude + SCRIPT.format(threads=threads, state=str(state))],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # What a shell starts in the background ignores it, and so do its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        log: IO[str] | None = self.process.stderr
        assert log is not None
        self.log = ""
        for line in log:
            self.log += line
            if "https://" in line:
                self.port = int(line.partition("https://127.0.0.1:")[2].split()[0].strip('",'))
                return
        raise AssertionError(self.log)

    def end(self) -> tuple[int, str]:
        out, log = self.process.communicate(timeout=60)
        self.log += log
        return self.process.returncode, out


@pytest.fixture
def script(handclasp_state: Path, request: pytest.FixtureRequest) -> Any:
    script = Script(handclasp_state, request.param)
    yield script
    if script.process.poll() is None:
        script.process.kill()
        script.process.communicate()


@pytest.mark.parametrize(
    ("script", "thread"), [(1, "MainThread"), (2, "handclasp-")], indirect=["script"]
)
def test_serve_answers_until_it_is_interrupted(
    script: Script, thread: str, handclasp_state: Path
) -> None:
    live = LiveServer(f"https://localhost:{script.port}", handclasp_state)
    assert live.client("alice").get("/").text.startswith(thread)
    script.process.send_signal(signal.SIGINT)
    assert script.end() == (0, "returned\n"), script.log
    live.close()


@pytest.mark.parametrize("script", [1, 2], indirect=True)
def test_the_front_ends_when_its_process_dies(script: Script, handclasp_state: Path) -> None:
    live = LiveServer(f"https://localhost:{script.port}", handclasp_state)
    with pytest.raises((http.client.HTTPException, OSError)):
        # The front may still say that the worker is gone.
        assert live.client("alice").get("/die").status != 503
        raise ConnectionError
    live.close()
    # The log's pipe ends when the front, which shares it, has ended.
    assert script.end()[0] == 7


def test_python_m_handclasp_is_the_program() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = "import runpy, sys; sys.argv = ['handclasp', '--version']; "
    build = os.environ.get("HC_BUILD")
    if build:
        command += f"import handclasp; handclasp.__path__.append({build + '/python'!r}); "
    command += "runpy.run_module('handclasp', run_name='__main__', alter_sys=False)"
    done = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert __version__ in done.stdout


def test_package_extension_and_program_are_of_one_version() -> None:
    assert _core.__version__ == __version__
