"""Starts the real program for a test and talks to it.

    def test_hello(server):
        with server(HELLO) as running:                  # text of a module, or "MODULE:APP"
            assert running.request("/").status == 200   # as alice

The program and the Python package come from the environment that `make build` makes, or, with HANDCLASP_BUILD=DIR,
from a Meson build folder. HANDCLASP_BINARY=FILE takes the program itself from elsewhere: one with sanitizers, whose
extension module would need their runtime in Python. Certificates are made once a session.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
STOP_S = 20.0
SANITIZER = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:")

HELLO = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


@dataclasses.dataclass(frozen=True)
class Program:
    binary: Path
    python: Path
    pythonpath: Path | None = None

    def run(
        self, *args: object, timeout: float = 60, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        options.setdefault("env", self.environment())
        done = subprocess.run(
            [str(self.binary), *map(str, args)],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            **options,
        )
        # Its exit code could be the one that a test expects.
        assert not SANITIZER.search(done.stderr), done.stderr
        return done

    @property
    def sanitizer(self) -> str | None:
        """ "asan" or "tsan", where the program was built with it."""
        binary = Path(shutil.which(self.binary) or self.binary)
        found = re.search(rb"__([at]san)_init", binary.read_bytes())
        return found[1].decode() if found else None

    def environment(self, **more: str) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HANDCLASP_", "PYTHON"))}
        env.pop("WEB_CONCURRENCY", None)
        if self.pythonpath:
            env["PYTHONPATH"] = str(self.pythonpath)
        return env | more


def _from_build_folder(build: Path, folder: Path) -> Program:
    """The package as it will be installed, by links into source and build tree."""
    package = folder / "handclasp"
    package.mkdir(parents=True)
    for source in [
        *(ROOT / "python/handclasp").glob("*.py"),
        *(build / "python").glob("_*.so"),
    ]:
        (package / source.name).symlink_to(source)
    return Program(build / "src/cli/handclasp", Path(sys.executable), folder)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    build = os.environ.get("HANDCLASP_BUILD")
    if build:
        found = _from_build_folder(Path(build).resolve(), tmp_path_factory.mktemp("package"))
    else:
        found = Program(ROOT / ".venv/bin/handclasp", ROOT / ".venv/bin/python")
        if not found.binary.exists():
            on_path = shutil.which("handclasp")
            found = Program(Path(on_path or "handclasp"), Path(sys.executable))
    binary = os.environ.get("HANDCLASP_BINARY")
    if binary:
        found = dataclasses.replace(found, binary=Path(binary).resolve())
    if not shutil.which(found.binary):
        pytest.skip(
            "no program to test: `make build`, or set HANDCLASP_BUILD to a Meson build folder"
        )
    return found


@pytest.fixture(scope="session")
def state(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with the clients alice and bob, as `handclasp init` makes it. Not to be changed: see own_state."""
    folder = tmp_path_factory.mktemp("state") / "handclasp"
    hosts = ["--host", "localhost", "--host", "127.0.0.1", "--host", "::1"]
    done = program.run("init", "--state", folder, *hosts, "--client", "alice", "--client", "bob")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def other_state(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of another CA, with an alice of its own."""
    folder = tmp_path_factory.mktemp("other") / "handclasp"
    done = program.run("init", "--state", folder, "--host", "localhost", "--client", "alice")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def own_state(state: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(state, tmp_path / "own-state"))


@dataclasses.dataclass(frozen=True)
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Server:
    """A running `handclasp serve`."""

    def __init__(self, process: subprocess.Popen[bytes], state: Path) -> None:
        self.process = process
        self.state = state
        self.port = 0
        self.path: str | None = None  # of a unix socket
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._open = 2  # of the two: what it said last may be read after the end of the other
        self._readers = [
            threading.Thread(target=self._read, args=(process.stderr, self._lines), daemon=True),
        ]
        self._output: list[str] = []
        self._readers.append(
            threading.Thread(target=self._read, args=(process.stdout, self._output), daemon=True)
        )
        for reader in self._readers:
            reader.start()

    def _read(self, stream, into: list[str]) -> None:
        for line in stream:
            with self._news:
                into.append(line.decode(errors="backslashreplace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._open -= 1
            self._news.notify_all()

    # what it says

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def log(self) -> list[str]:
        """The lines on standard error so far."""
        with self._news:
            return list(self._lines)

    def output(self) -> list[str]:
        """The lines on standard output so far (the access log, with `--access-logfile -`)."""
        with self._news:
            return list(self._output)

    def wait_for(self, pattern: str, timeout: float = 15, count: int = 1) -> str:
        """Until the log has `count` lines that match; returns the last of them. Counts from the start."""
        return self._wait_in(self._lines, pattern, timeout, count)

    def wait_for_output(self, pattern: str, timeout: float = 15, count: int = 1) -> str:
        return self._wait_in(self._output, pattern, timeout, count)

    def _wait_in(self, lines: list[str], pattern: str, timeout: float, count: int) -> str:
        def found() -> list[str]:
            return [line for line in lines if re.search(pattern, line)]

        with self._news:
            self._news.wait_for(lambda: len(found()) >= count or not self._open, timeout)
            if len(found()) < count:
                pytest.fail(f"no line {pattern!r} in the log:\n" + "\n".join(self._lines))
            return found()[count - 1]

    # its processes

    def front_pid(self) -> int:
        (front,) = [pid for pid, line in children(self.pid) if line[-1:] == ["front"]]
        return front

    def worker_pids(self) -> list[int]:
        return [pid for pid, line in children(self.pid) if "handclasp.worker" in line]

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, timeout: float = STOP_S) -> int:
        """Ends it and returns its exit code; kills it, and fails, where it does not end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(timeout)

    def wait(self, timeout: float = STOP_S) -> int:
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail("the server did not end:\n" + "\n".join(self.log()))
        for reader in self._readers:
            reader.join(5)
        reports = [line for line in self.log() if SANITIZER.search(line)]
        assert not reports, "\n".join(self.log())
        return code

    # talking to it

    def ssl_context(
        self, client: str | None = "alice", state: Path | None = None
    ) -> ssl.SSLContext:
        """Trusts the server's CA; has the certificate of `client` (None: none), of another `state` folder perhaps."""
        context = ssl.create_default_context(cafile=self.state / "ca/ca.pem")
        if client:
            clients = (state or self.state) / "clients"
            context.load_cert_chain(clients / f"{client}.pem", clients / f"{client}.key")
        return context

    def connect(
        self,
        client: str | None = "alice",
        *,
        context: ssl.SSLContext | None = None,
        timeout: float = 15,
    ) -> ssl.SSLSocket:
        if self.path:
            plain = socket.socket(socket.AF_UNIX)
            plain.settimeout(timeout)
            plain.connect(self.path)
        else:
            plain = socket.create_connection(("127.0.0.1", self.port), timeout)
        try:
            return (context or self.ssl_context(client)).wrap_socket(
                plain, server_hostname="localhost"
            )
        except BaseException:
            plain.close()
            raise

    def connection(self, client: str | None = "alice", **options) -> http.client.HTTPSConnection:
        """A connection to keep, for several requests."""
        kept = http.client.HTTPSConnection(
            "localhost", self.port, timeout=options.get("timeout", 15)
        )
        kept.sock = self.connect(client, **options)
        kept.auto_open = 0
        return kept

    def request(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        client: str | None = "alice",
        body: bytes | str | None = None,
        headers: dict[str, str] | None = None,
        over: http.client.HTTPSConnection | None = None,
        **options,
    ) -> Response:
        """One request, on a connection of its own unless `over` one."""
        used = over or self.connection(client, **options)
        try:
            used.request(method, path, body, headers or {})
            got = used.getresponse()
            return Response(got.status, got.headers, got.read())
        finally:
            if not over:
                used.close()


def children(pid: int) -> list[tuple[int, list[str]]]:
    """Number and command line of each child of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                line = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[:-1]
                found.append((int(child), [part.decode() for part in line]))
    return found


def is_running(pid: int) -> bool:
    """Not for a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], object], what: str, timeout: float = 15) -> None:
    """For what leaves no line in a log and cannot be waited on."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {timeout} s: {what}")
        time.sleep(0.01)


def flags(options: dict[str, object]) -> list[str]:
    """client_cert="none" is --client-cert=none, a list repeats the flag, True is a flag alone."""
    out = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            out.append(flag)
        else:
            out += [f"{flag}={one}" for one in (value if isinstance(value, list) else [value])]
    return out


def launch(
    program: Program,
    state: Path,
    folder: Path,
    app: str,
    *args: str,
    env: dict[str, str] | None = None,
    prefix: tuple[str, ...] = (),
    pass_fds: tuple[int, ...] = (),
    **options: object,
) -> Server:
    """Starts `serve` in `folder` without waiting. `app` is MODULE:APP, or a module's text, which becomes app.py."""
    if "\n" in app:
        (folder / "app.py").write_text(app)
        app = "app:app"
    options = {
        "bind": "127.0.0.1:0",
        "state": state,
        "python": program.python,
        "workers": 1,
    } | options
    if not options.keys().isdisjoint(["ca_certs", "ca-certs"]):
        # Clients of another CA than the state folder's have no records there.
        options.setdefault("registry", "none")
    process = subprocess.Popen(
        [*prefix, str(program.binary), "serve", app, *flags(options), *args],
        cwd=folder,
        env=program.environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
        pass_fds=pass_fds,
    )
    return Server(process, state)


def wait_until_listening(server: Server, folder: Path) -> None:
    line = server.wait_for(r"listening on ", START_S)
    found = re.search(r"https://\S+?:(\d+)", line)
    server.port = int(found[1]) if found else 0
    unix = re.search(r"unix:([^\s,]+)", line)
    server.path = str(folder / unix[1]) if unix else None


@contextlib.contextmanager
def running(
    program: Program,
    default_state: Path,
    folder: Path,
    app: str = HELLO,
    *args: str,
    **options,
) -> Iterator[Server]:
    server = launch(program, options.pop("state", default_state), folder, app, *args, **options)
    try:
        wait_until_listening(server, folder)
        yield server
    finally:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
            try:
                server.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                server.process.kill()
        try:
            server.wait()
        finally:
            print("\n".join(server.log()))  # shown where the test fails


@pytest.fixture
def server(
    program: Program, state: Path, tmp_path: Path
) -> Callable[..., contextlib.AbstractContextManager[Server]]:
    """`with server(APP, *args, **options) as running`: a server that listens on a free port, stopped at the end.

    APP is MODULE:APP in tmp_path or the text of a module. Options become flags, but for
    `state`, `env`, `pass_fds` and `prefix` (a command to run it under).
    """
    return functools.partial(running, program, state, tmp_path)


@pytest.fixture
def start(program: Program, state: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """The same without waiting until it listens, for servers that are not to come up."""
    started: list[Server] = []

    def begin(app: str = HELLO, *args: str, **options) -> Server:
        started.append(
            launch(program, options.pop("state", state), tmp_path, app, *args, **options)
        )
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.wait()
