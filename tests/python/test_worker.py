"""`python -m handclasp.worker` as the server starts it, with a front in this process."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from lane_peer import END, HEAD, Front, LaneClosed

import handclasp
from handclasp._core import LANE_PROTOCOL

HELLO = """
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder for PYTHONPATH with the package that this process uses, wherever its parts are."""
    folder = tmp_path_factory.mktemp("site")
    package = folder / "handclasp"
    package.mkdir()
    for part in handclasp.__path__:
        for entry in Path(part).iterdir():
            if entry.suffix in (".py", ".so") and not (package / entry.name).exists():
                (package / entry.name).symlink_to(entry.resolve())
    return folder


class Worker:
    def __init__(self, site, folder, arguments, lanes, environment):
        pairs = [socket.socketpair() for _ in range(lanes)]
        fds = [theirs.fileno() for _, theirs in pairs]
        listed = ",".join(str(fd) for fd in fds)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "handclasp.worker", *arguments, "--lane-fds", listed],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(site), **environment},
            pass_fds=fds,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _, theirs in pairs:
            theirs.close()
        self.fronts = [Front(ours) for ours, _ in pairs]

    def ready(self):
        for front in self.fronts:
            assert front.hello() == LANE_PROTOCOL
        return self.fronts[0]

    def end(self):
        """Closes the lanes; the exit code and what was written to stderr."""
        for front in self.fronts:
            front.close()
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


@pytest.fixture
def start(site, tmp_path):
    """start(source, "MODULE:APP", …) starts a worker in a folder that holds shop.py."""
    workers = []

    def starter(source, *arguments, lanes=1, **environment):
        (tmp_path / "shop.py").write_text(textwrap.dedent(source))
        workers.append(Worker(site, tmp_path, arguments or ("shop:app",), lanes, environment))
        return workers[-1]

    yield starter
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.communicate()
        for front in worker.fronts:
            front.close()


def test_a_worker_answers_on_each_lane_and_ends_with_them(start):
    worker = start(HELLO, lanes=3)
    worker.ready()
    for front in worker.fronts:
        assert front.ask().body == b"hello"
    assert worker.end() == (0, "")


def test_a_worker_goes_on_while_one_lane_is_left(start):
    worker = start(HELLO, lanes=2)
    worker.ready().close()
    assert worker.fronts[1].ask().body == b"hello"
    assert worker.end() == (0, "")


def test_lanes_are_served_at_the_same_time(start):
    source = """
        import threading
        both = threading.Barrier(2, timeout=10)
        def app(environ, start_response):
            both.wait()
            start_response("200 OK", [])
            return [str(environ["wsgi.multithread"]).encode()]
    """
    worker = start(source, lanes=2)
    worker.ready()
    for front in worker.fronts:
        front.send()
    assert [front.receive().body for front in worker.fronts] == [b"True", b"True"]


def test_the_flags_of_the_process_are_told(start):
    source = """
        def app(environ, start_response):
            start_response("200 OK", [])
            return [repr((environ["wsgi.multithread"], environ["wsgi.multiprocess"])).encode()]
    """
    assert start(source).ready().ask().body == b"(False, False)"
    assert start(source, "shop:app", "--multiprocess").ready().ask().body == b"(False, True)"


# What is named


APPLICATIONS = """
    import types
    def make(text):
        def app(environ, start_response):
            start_response("200 OK", [])
            return [text.encode()]
        return app
    app, application = make("app"), make("application")
    def create_app(name="default", *, debug=False, sizes=()):
        return make(f"{name} {debug} {sizes}")
    package = types.SimpleNamespace(inner=types.SimpleNamespace(app=make("inner")))
    class Factory:
        @staticmethod
        def make():
            return make("factory")
    text = "no application"
    def broken():
        raise LookupError("from the factory")
"""


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("shop", "application"),
        ("shop:app", "app"),
        ("shop:package.inner.app", "inner"),
        ("shop:create_app()", "default False ()"),
        ("shop:create_app('x', debug=True, sizes=[1, -2])", "x True [1, -2]"),
        ("shop:Factory.make()", "factory"),
        ("shop: app ", "app"),
    ],
)
def test_an_application_is_found_by_its_name(start, name, body):
    assert start(APPLICATIONS, name).ready().ask().body == body.encode()


def test_a_module_alone_may_have_an_app(start):
    assert start(HELLO, "shop").ready().ask().body == b"hello"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "no module named 'nothing' (looked in "),
        ("nothing.within:app", "no module named 'nothing' (looked in "),
        ("shop.within:app", "no module named 'shop.within' (looked in "),
        ("shop:missing", "module 'shop' has no 'missing'"),
        ("shop:package.missing.app", "module 'shop' has no 'package.missing'"),
        ("shop:missing()", "module 'shop' has no 'missing'"),
        ("shop:text", "'shop:text' is no WSGI application: str is not callable"),
        ("shop:create_app(text)", "is neither a name nor a call with literal arguments"),
        ("shop:create_app(**{'a': 1})", "is neither a name nor a call with literal arguments"),
        ("shop:create_app()()", "is neither a name nor a call with literal arguments"),
        ("shop:1 + 1", "is neither a name nor a call with literal arguments"),
        ("shop:(", "is neither a name nor a call with literal arguments"),
        ("shop.py", "'shop.py' is no module name: did you mean 'shop'?"),
        ("", "'' is no module name"),
        ("-x", "the following arguments are required"),
    ],
)
def test_a_name_that_names_nothing_is_one_line(start, name, message):
    worker = start(APPLICATIONS, name)
    code, errors = worker.end()
    assert errors.startswith("handclasp worker: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert code == (3 if name == "-x" else 4)


def test_a_module_without_application_says_what_was_looked_for(start):
    code, errors = start("x = 1", "shop").end()
    assert code == 4
    assert errors == (
        "handclasp worker: module 'shop' has no 'application' or 'app': "
        "name the application, shop:NAME\n"
    )


@pytest.mark.parametrize(
    ("source", "name", "last"),
    [
        ("1/0", "shop:app", "ZeroDivisionError: division by zero"),
        ("import nothing", "shop:app", "ModuleNotFoundError: No module named 'nothing'"),
        ("raise SystemExit(7)", "shop:app", "SystemExit: 7"),
        ("def app(:", "shop:app", "SyntaxError: "),
        (APPLICATIONS, "shop:broken()", "LookupError: from the factory"),
    ],
)
def test_a_failure_in_the_applications_own_code_has_its_traceback(start, source, name, last):
    code, errors = start(source, name).end()
    lines = errors.splitlines()
    assert code == 4
    assert "shop.py" in errors
    assert lines[-2].startswith(last)
    assert lines[-1].startswith("handclasp worker: ")
    assert "worker.py" not in errors and "importlib" not in errors


def test_a_descriptor_that_is_no_socket_is_told(start, tmp_path):
    worker = start(HELLO, "shop:app", "--chdir", str(tmp_path / "missing"))
    code, errors = worker.end()
    assert (code, errors.count("\n")) == (3, 1)
    assert str(tmp_path / "missing") in errors


@pytest.mark.parametrize("fds", ["99", "x", ""])
def test_lane_fds_must_be_sockets(site, fds):
    ran = subprocess.run(
        [sys.executable, "-m", "handclasp.worker", "shop:app", "--lane-fds", fds],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (3, 1)
    assert ran.stderr.startswith("handclasp worker: ")


# Where it looks


def test_chdir_and_pythonpath_decide_where_modules_come_from(start, tmp_path):
    for folder in ("here", "lib", "more"):
        (tmp_path / folder).mkdir()
    (tmp_path / "lib" / "first.py").write_text("NAME = 'lib'")
    (tmp_path / "more" / "first.py").write_text("NAME = 'more'")
    (tmp_path / "more" / "second.py").write_text("NAME = 'more'")
    (tmp_path / "here" / "shop.py").write_text(
        textwrap.dedent("""
            import os, sys, first, second
            def app(environ, start_response):
                start_response("200 OK", [])
                found = [os.getcwd(), first.NAME, second.NAME, len(sys.argv)]
                return [repr(found).encode()]
        """)
    )
    worker = start(
        "raise AssertionError('the wrong one')",
        "shop:app",
        "--chdir",
        str(tmp_path / "here"),
        "--pythonpath",
        f"{tmp_path / 'lib'},../more",
    )
    body = worker.ready().ask().body
    assert body == repr([str(tmp_path / "here"), "lib", "more", 1]).encode()


def test_descriptors_are_not_for_what_the_application_starts(start):
    source = """
        import os
        def app(environ, start_response):
            start_response("200 OK", [])
            links = [(fd, os.get_inheritable(int(fd))) for fd in os.listdir("/proc/self/fd")
                     if int(fd) > 2 and os.path.exists(f"/proc/self/fd/{fd}")]
            return [repr([fd for fd, inherited in links if inherited]).encode()]
    """
    assert start(source, lanes=3).ready().ask().body == b"[]"


# How it ends


def test_sigint_is_not_for_the_worker(start):
    worker = start(HELLO)
    front = worker.ready()
    assert front.ask().status == 200
    worker.process.send_signal(signal.SIGINT)
    assert front.ask().status == 200
    assert worker.end() == (0, "")


def test_sigterm_ends_an_idle_worker(start):
    worker = start(HELLO, lanes=2)
    worker.ready().ask()
    worker.process.send_signal(signal.SIGTERM)
    for front in worker.fronts:
        with pytest.raises(LaneClosed):
            front.read()
    assert worker.end() == (0, "")


def test_sigterm_that_another_thread_receives_ends_the_worker_too(start):
    source = """
        import signal, threading
        def app(environ, start_response):
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # this thread serves a lane
            start_response("200 OK", [])
            return [b"last words"]
    """
    worker = start(source, lanes=2)
    assert worker.ready().ask().body == b"last words"
    for front in worker.fronts:
        with pytest.raises(LaneClosed):
            front.read()
    assert worker.end() == (0, "")


def test_sigterm_lets_the_current_requests_end(start):
    source = """
        import threading
        from urllib.parse import unquote
        def app(environ, start_response):
            write = start_response("200 OK", [])
            write(b"begun")
            open(environ["PATH_INFO"], "rb").read()  # a pipe: until the test closes it
            return [b", done"]
    """
    worker = start(source)
    front = worker.ready()
    pipe = _fifo(worker)
    front.send(target=pipe)
    assert front.read()[0] == HEAD
    worker.process.send_signal(signal.SIGTERM)
    with open(pipe, "wb"):
        pass
    assert front.receive_rest() == b"begun, done"
    with pytest.raises(LaneClosed):
        front.read()
    assert worker.end() == (0, "")


def _fifo(worker):
    path = os.path.join(os.readlink(f"/proc/{worker.process.pid}/cwd"), "pipe")
    os.mkfifo(path)
    return path


def test_a_worker_ends_after_max_requests(start):
    worker = start(HELLO, "shop:app", "--max-requests", "3", lanes=2)
    worker.ready()
    for front in (worker.fronts[0], worker.fronts[1], worker.fronts[1]):
        assert front.ask().body == b"hello"
    for front in worker.fronts:
        with pytest.raises(LaneClosed):
            front.read()
    assert worker.end() == (0, "")


def test_a_request_sent_when_max_requests_is_reached_is_answered_or_not_taken(start):
    worker = start(HELLO, "shop:app", "--max-requests", "1")
    front = worker.ready()
    front.send()
    try:
        front.send()
        assert front.receive().body == front.receive().body == b"hello"
    except BrokenPipeError:  # the second: what the front then gives to another worker
        assert front.receive().body == b"hello"
    assert worker.end()[0] == 0


def test_a_broken_lane_ends_the_worker_after_its_current_requests(start):
    worker = start(HELLO, lanes=2)
    worker.ready().peer.sendall(b"\0\0\0\0\x63\0\0\0")
    with pytest.raises(LaneClosed):
        worker.fronts[1].read()
    code, errors = worker.end()
    assert code == 1
    assert "malformed frame header on a lane" in errors


def test_atexit_handlers_and_threads_of_the_application_end_as_usual(start):
    source = """
        import atexit, threading, sys
        def app(environ, start_response):
            start_response("200 OK", [])
            return []
        atexit.register(lambda: print("atexit", file=sys.stderr))
        done = threading.Event()
        threading.Thread(target=lambda: (threading.main_thread().join(),
                                         print("thread", file=sys.stderr))).start()
    """
    worker = start(source)
    worker.ready().ask()
    assert worker.end() == (0, "thread\natexit\n")


# Failures of the application


def test_a_failing_request_is_logged_with_its_traceback_and_the_worker_goes_on(start):
    source = """
        def app(environ, start_response):
            if environ["PATH_INFO"] == "/exit":
                raise SystemExit("from a view")
            start_response("200 OK", [("Content-Length", "5")])
            return [b"hell" if environ["PATH_INFO"] == "/short" else b"hello"]
    """
    worker = start(source)
    front = worker.ready()
    response = front.ask(target="/exit")
    assert (response.frames, response.failed) == ([END], True)
    assert front.ask(target=b"/short?\xc3\xa4\x1b", path="/short", query="").failed is True
    assert front.ask().body == b"hello"
    code, errors = worker.end()
    assert code == 0
    assert "handclasp worker: GET /exit: the application failed\nTraceback" in errors
    assert "SystemExit: from a view" in errors
    assert "GET /short?\\xc3\\xa4\\x1b: the response has fewer octets" in errors


def test_a_keyboard_interrupt_from_a_view_ends_the_worker(start):
    worker = start("def app(e, s): raise KeyboardInterrupt", lanes=2)
    assert worker.ready().ask().failed is True
    with pytest.raises(LaneClosed):
        worker.fronts[1].read()
    assert worker.end() == (1, "")


def test_a_subprocess_of_the_application_takes_sigint_as_usual(start):
    source = """
        import subprocess, sys
        def app(environ, start_response):
            start_response("200 OK", [])
            code = "import signal; print(signal.getsignal(2) is signal.default_int_handler)"
            return [subprocess.check_output([sys.executable, "-c", code])]
    """
    assert start(source).ready().ask().body == b"True\n"


# Flask


FLASK = """
    import asyncio
    from flask import Flask, Response, request, send_file, stream_with_context
    app = Flask(__name__)
    @app.get("/")
    def hello():
        return "hello " + request.host + " " + request.full_path
    @app.get("/async")
    async def later():
        await asyncio.sleep(0)
        return "later"
    @app.post("/form")
    def form():
        return {"form": request.form.to_dict(), "size": request.content_length,
                "files": {k: len(f.read()) for k, f in request.files.items()}}
    @app.get("/stream")
    def stream():
        return Response(stream_with_context(part + request.path for part in "ab"))
    @app.get("/file")
    def file():
        return send_file(__file__, mimetype="text/plain", conditional=True)
    @app.get("/fail")
    def fail():
        1 / 0
"""


@pytest.fixture
def flask_front(start):
    pytest.importorskip("flask")
    return start(FLASK).ready()


def test_flask_answers(flask_front):
    response = flask_front.ask(target="/?a=b")
    assert response.body == b"hello localhost:8443 /?a=b"
    assert response["Content-Length"] == str(len(response.body))


def test_flask_answers_head(flask_front):
    response = flask_front.ask("HEAD", "/?a=b")
    assert response.frames == [HEAD, END]
    assert response["Content-Length"] == "26"


def test_flask_runs_an_async_view(flask_front):
    pytest.importorskip("asgiref")
    assert flask_front.ask(target="/async").body == b"later"


@pytest.mark.parametrize("chunked", [False, True])
def test_flask_reads_a_form(flask_front, chunked):
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "7")
    headers = [("Host", "x"), ("Content-Type", "application/x-www-form-urlencoded"), framing]
    response = flask_front.ask("POST", "/form", headers, b"a=1&b=2")
    assert response.body == b'{"files":{},"form":{"a":"1","b":"2"},"size":7}\n'


def test_flask_reads_an_upload_from_a_file(flask_front, tmp_path):
    boundary = "----x"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'.encode()
        + bytes(3_000_000)
        + f"\r\n--{boundary}--\r\n".encode()
    )
    with open(tmp_path / "body", "w+b") as file:
        file.write(body)
        file.flush()
        headers = [("Host", "x"), ("Content-Type", f"multipart/form-data; boundary={boundary}")]
        flask_front.send_with_file(file.fileno(), len(body), "POST", "/form", headers)
    assert b'"files":{"f":3000000}' in flask_front.receive().body


def test_flask_streams(flask_front):
    assert flask_front.ask(target="/stream").body == b"a/streamb/stream"


def test_flask_sends_a_file_by_its_descriptor(flask_front):
    from lane_peer import FILE

    response = flask_front.ask(target="/file")
    assert response.frames == [HEAD, FILE, END]
    assert response.body == textwrap.dedent(FLASK).encode()
    part = flask_front.ask(target="/file", headers=[("Host", "x"), ("Range", "bytes=2-4")])
    assert (part.status, part.body) == (206, textwrap.dedent(FLASK).encode()[2:5])
    etag = response["ETag"]
    same = flask_front.ask(target="/file", headers=[("Host", "x"), ("If-None-Match", etag)])
    assert (same.status, same.body) == (304, b"")


def test_a_failing_flask_view_is_flasks_500(flask_front):
    response = flask_front.ask(target="/fail")
    assert (response.status, response.failed) == (500, False)
