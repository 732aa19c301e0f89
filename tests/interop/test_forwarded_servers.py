"""ForwardedClientCertificate inside other people's servers: the registry is followed in each of their processes, by a
user who may read it and no more, without any process of ours.

The test is the terminator: it connects from 127.0.0.1, without TLS, and hands over certificates as nginx does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from handclasp_server_tests import Program
from test_neighbours import (
    APP,
    MODULES,
    WITHIN_S,
    World,
    free_port,
    listens,
    needs,
    paths_of,
    process,
    world,  # noqa: F401 - a fixture
)

MAX_AGE_S = 1
PROMISED_S = 1.0
NOBODY = ("nobody", "nogroup")

FORWARDED = """
from handclasp.forwarded import ForwardedClientCertificate
app.wsgi_app = ForwardedClientCertificate(
    app.wsgi_app, form="nginx", trusted=["tcp:127.0.0.1"], registry_max_age={max_age}, {options})

@app.get("/hold")
def hold():
    import time
    time.sleep(0.1)  # so that requests at the same time are of several processes
    return see()
"""


@dataclasses.dataclass(frozen=True)
class Server:
    world: World
    port: int
    processes: int

    def ask(self, path: str, who: str) -> Answer:
        pem = self.world.pair(who)[0].read_text()
        return ask(self.port, path, pem[: pem.index("-----END CERTIFICATE-----") + 26])

    def everywhere(self, who: str) -> dict[int, set[tuple[str, str | None, tuple[str, ...]]]]:
        """What each process says about a client: every answer since this was asked."""
        said: dict[int, set[tuple[str, str | None, tuple[str, ...]]]] = {}
        end = time.monotonic() + WITHIN_S
        with ThreadPoolExecutor(8) as together:
            while len(said) < self.processes:
                assert time.monotonic() < end, f"only {len(said)} processes answer"
                for answer in together.map(lambda _: self.ask("/hold", who), range(8)):
                    seen = answer.json
                    said.setdefault(seen["pid"], set()).add((seen["verdict"], seen["name"], tuple(seen["roles"])))
        return said


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> dict:
        assert self.status == 200, self.body
        return json.loads(self.body)


def ask(port: int, path: str, pem: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
    try:
        connection.request("GET", path, headers={"X-SSL-Client-Cert": quote(pem, safe=""), "Connection": "close"})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read().decode())
    finally:
        connection.close()


def write_app(place: World, folder: Path, options: str | None = None) -> None:
    options = options or f"state={str(place.state)!r}"
    text = APP + FORWARDED.format(max_age=MAX_AGE_S, options=options)
    (folder / "shop.py").write_text(text)
    paths = [str(folder), *paths_of(place)]
    (folder / "shop.wsgi").write_text(f"import sys; sys.path[:0] = {paths!r}\nfrom shop import application\n")


def python_of_all(place: World) -> str:
    """Of the version that the package is for; one that another user may run where we are root."""
    program = os.path.realpath(place.program.python)
    if os.geteuid() != 0 or all(path.stat().st_mode & 0o001 for path in Path(program).parents):
        return str(place.program.python)
    debian = "/usr/bin/python3"
    versions = [
        subprocess.run([one, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True).stdout
        for one in (program, debian)
    ]
    if versions[0] != versions[1]:
        pytest.skip(f"{program} may not be run by another user, and {debian} is of another version")
    return debian


# ---- servers: each is started with the application in its folder


@contextlib.contextmanager
def gunicorn(place: World, folder: Path, *more: str, processes: int = 2) -> Iterator[Server]:
    port = free_port()
    user = ["--user", NOBODY[0], "--group", NOBODY[1]] if os.geteuid() == 0 else []
    args = [python_of_all(place), "-m", "gunicorn", "--workers", str(processes), "--bind", f"127.0.0.1:{port}"]
    args += ["--worker-tmp-dir", "/dev/shm", "--graceful-timeout", "1", *user, *more, "shop:app"]
    path = os.pathsep.join(paths_of(place))
    with process(folder, "gunicorn", args, listens(port), PYTHONPATH=path):
        yield Server(place, port, processes)


def gunicorn_sync(place: World, folder: Path):
    return gunicorn(place, folder)


def gunicorn_gthread(place: World, folder: Path):
    return gunicorn(place, folder, "--worker-class", "gthread", "--threads", "4")


def gunicorn_preload(place: World, folder: Path):
    return gunicorn(place, folder, "--preload")


@contextlib.contextmanager
def uwsgi(place: World, folder: Path, *more: str) -> Iterator[Server]:
    port = free_port()
    user = ["--uid", NOBODY[0], "--gid", NOBODY[1]] if os.geteuid() == 0 else []
    paths = [flag for path in reversed([str(folder), *paths_of(place)]) for flag in ("--pythonpath", path)]
    args = [needs("uwsgi"), "--need-plugin", "python3", "--http-socket", f"127.0.0.1:{port}", "--master"]
    args += ["--processes", "2", "--die-on-term", "--buffer-size", "32768", *user, *paths, "--module", "shop:app"]
    with process(folder, "uwsgi", [*args, *more], listens(port)):
        yield Server(place, port, 2)


def uwsgi_prefork(place: World, folder: Path):
    """Without --enable-threads: the GIL is never given to another thread, and need not be."""
    return uwsgi(place, folder)


def uwsgi_threads(place: World, folder: Path):
    return uwsgi(place, folder, "--enable-threads", "--threads", "2")


def uwsgi_lazy_apps(place: World, folder: Path):
    return uwsgi(place, folder, "--lazy-apps")


APACHE = """
ServerRoot {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/apache-error.log
ServerName localhost
{user}
{loads}
StartServers 2
MinSpareServers 2
MaxSpareServers 2
MaxRequestWorkers 2
Listen 127.0.0.1:{port}
{daemon}
WSGIScriptAlias / {folder}/shop.wsgi
<Directory {folder}>
    Require all granted
</Directory>
"""


@contextlib.contextmanager
def apache(place: World, folder: Path, daemon: str) -> Iterator[Server]:
    port = free_port()
    names = ["mpm_prefork", "authz_core", "wsgi"]
    if missing := [name for name in names if not (MODULES / f"mod_{name}.so").exists()]:
        pytest.skip(f"Apache is without {', '.join(missing)}")
    loads = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names)
    user = f"User {NOBODY[0]}\nGroup {NOBODY[1]}" if os.geteuid() == 0 else ""
    text = APACHE.format(folder=folder, user=user, loads=loads, port=port, daemon=daemon)
    (folder / "apache.conf").write_text(text)
    args = [needs("apache2"), "-DFOREGROUND", "-f", str(folder / "apache.conf")]
    with process(folder, "apache", args, listens(port)):
        yield Server(place, port, 2)


def mod_wsgi_embedded(place: World, folder: Path):
    """In an interpreter of its own beside the main one, as mod_wsgi has it by default."""
    return apache(place, folder, "")


def mod_wsgi_daemon(place: World, folder: Path):
    sockets = f"WSGISocketPrefix {folder}/wsgi\n"
    return apache(place, folder, f"{sockets}WSGIDaemonProcess shop processes=2 threads=2\nWSGIProcessGroup shop")


@contextlib.contextmanager
def werkzeug(place: World, folder: Path) -> Iterator[Server]:
    port = free_port()
    args = [str(place.program.python), "-m", "flask", "--app", "shop:app", "run", "--port", str(port)]
    path = os.pathsep.join(paths_of(place))
    with process(folder, "werkzeug", args, listens(port), PYTHONPATH=path):
        yield Server(place, port, 1)


SERVERS: list[Callable] = [
    gunicorn_sync,
    gunicorn_gthread,
    gunicorn_preload,
    uwsgi_prefork,
    uwsgi_threads,
    uwsgi_lazy_apps,
    mod_wsgi_embedded,
    mod_wsgi_daemon,
    werkzeug,
]


@pytest.fixture(scope="module")
def place(world: World) -> Iterator[World]:  # noqa: F811
    """A copy where another user may read what the guide says, and the package. Not among pytest's own folders: the next
    pytest of this user closes them."""
    with tempfile.TemporaryDirectory(prefix="handclasp-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        copy = Path(shutil.copytree(world.folder, folder / "world"))
        program = world.program
        if program.pythonpath:
            package = Path(shutil.copytree(program.pythonpath, folder / "package", symlinks=True))
            package.chmod(0o755)
            program = dataclasses.replace(program, pythonpath=package)
        own = World(program, copy / "state", copy)
        let_others_read(own)
        yield own


def let_others_read(place: World) -> None:
    for folder in (place.folder, place.state, place.state / "ca"):
        folder.chmod(0o711)
    for file in (place.state / "registry.db", place.state / "registry.db-journal"):
        file.chmod(0o644)


def new_folder(place: World) -> Path:
    folder = Path(tempfile.mkdtemp(dir=place.folder.parent))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def folder(place: World) -> Path:
    return new_folder(place)


@pytest.fixture(scope="module", params=SERVERS, ids=lambda s: s.__name__)
def server(request: pytest.FixtureRequest, place: World) -> Iterator[Server]:
    folder = new_folder(place)
    write_app(place, folder)
    with request.param(place, folder) as started:
        yield started
    for log in folder.glob("*.log"):  # ended by itself, with the follower's thread in it
        assert not re.search(r"[Ss]egmentation|SIGSEGV|signal 11|SIGABRT|core dumped", log.read_text()), log.read_text()


# ---- what is so in each of them


def reads_registry(pid: int) -> bool:
    return any(os.readlink(link).endswith("registry.db") for link in Path(f"/proc/{pid}/fd").iterdir())


def test_a_change_is_in_force_in_every_process_within_a_second(server: Server) -> None:
    before = server.everywhere("bob")
    assert set.union(*before.values()) == {("ok", "bob", ())}
    for change, expected in (
        (("role", "bob", "+meter"), ("ok", "bob", ("meter",))),
        (("suspend", "bob"), ("suspended", None, ())),
        (("resume", "bob"), ("ok", "bob", ("meter",))),
        (("role", "bob", "--none"), ("ok", "bob", ())),
    ):
        server.world.client(*change)
        time.sleep(PROMISED_S)  # the bound, and no more
        said = server.everywhere("bob")
        assert set(said) == set(before), "other processes than before"
        assert set.union(*said.values()) == {expected}, change


def test_a_revocation_is_for_good(server: Server, request: pytest.FixtureRequest) -> None:
    name = f"gone-{request.node.callspec.id.replace('_', '-')}"
    server.world.client("issue", name)
    pem = (server.world.state / f"clients/{name}.pem").read_text()
    pem = pem[: pem.index("-----END CERTIFICATE-----") + 26]
    time.sleep(PROMISED_S)
    assert ask(server.port, "/see", pem).json["name"] == name
    server.world.client("revoke", name)
    time.sleep(PROMISED_S)
    for _ in range(8):
        assert ask(server.port, "/see", pem).json["verdict"] == "revoked"
        assert ask(server.port, "/meter", pem).status == 403


def test_the_registry_is_another_user_s(server: Server, request: pytest.FixtureRequest) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start a server as another user")
    if "werkzeug" in request.node.callspec.id:
        pytest.skip("Werkzeug's server runs as whoever starts it")
    owner = (server.world.state / "registry.db").stat().st_uid
    for pid in server.everywhere("alice"):
        status = Path(f"/proc/{pid}/status").read_text()
        uids = re.search(r"^Uid:\s+(\d+)\s+(\d+)", status, re.M)
        assert uids and int(uids[2]) not in (owner, 0)


def test_a_registry_that_is_gone_is_a_503_until_it_is_back(server: Server) -> None:
    registry = server.world.state / "registry.db"
    away = registry.with_suffix(".away")
    assert server.ask("/meter", "alice").status == 200
    registry.rename(away)
    try:
        end = time.monotonic() + WITHIN_S
        while (answer := server.ask("/see", "alice")).status == 200:
            assert time.monotonic() < end
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert json.loads(answer.body)["verdict"] == "registry-unavailable"
        for _ in range(8):
            assert server.ask("/meter", "alice").status in (200, 503)  # another process may have looked later
        time.sleep(MAX_AGE_S)
        for _ in range(8):
            assert server.ask("/meter", "alice").status == 503
        # Who comes without a certificate needs no registry.
        assert ask(server.port, "/see", "").json["verdict"] == "no-certificate"
    finally:
        away.rename(registry)
    end = time.monotonic() + WITHIN_S
    while [server.ask("/meter", "alice").status for _ in range(8)] != [200] * 8:
        assert time.monotonic() < end


# ---- in some of them


def test_what_was_loaded_before_the_fork_follows_nothing(
    place: World,
    folder: Path,
) -> None:
    write_app(place, folder)
    with gunicorn_preload(place, folder) as server:
        workers = server.everywhere("alice")
        parents = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in workers}
        assert len(parents) == 1
        assert not reads_registry(parents.pop())
        assert all(map(reads_registry, workers))


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
def test_no_request_asks_the_database(place: World, folder: Path) -> None:
    write_app(place, folder)
    with gunicorn(place, folder, processes=1) as server:
        pid = server.ask("/see", "alice").json["pid"]
        log = folder / "strace.log"
        tracer = subprocess.Popen(
            ["strace", "-f", "-p", str(pid), "-y", "-e", "trace=%file,%desc,%network", "-o", str(log)],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            line = tracer.stderr.readline() if tracer.stderr else ""
            if "attached" not in line:
                pytest.skip(f"strace may not: {line}")
            server.world.client("role", "bob", "+traced")  # so that there is something to read
            for _ in range(100):
                assert server.ask("/meter", "alice").status == 200
        finally:
            tracer.terminate()
            tracer.wait()
        server.world.client("role", "bob", "--none")
        calls = [line.split(maxsplit=1) for line in log.read_text().splitlines()]
        by_requests = [call for tid, call in calls if int(tid) == pid]
        by_others = [call for tid, call in calls if int(tid) != pid]
        assert sum("recv" in call for call in by_requests) >= 100
        assert not [call for call in by_requests if "registry.db" in call or call.startswith("pread")]
        assert [call for call in by_others if "registry.db" in call]


REGISTRIES = {
    "state": 'state="{state}"',
    "url": 'ca_certs="{state}/ca/ca.pem", registry="sqlite:{state}/registry.db"',
    "both": 'state="{state}", registry="sqlite:registry.db"',
    "admit": 'state="{state}", unknown="admit"',
    "none": 'ca_certs="{state}/ca/ca.pem", registry="none"',
}


@pytest.mark.parametrize("how", REGISTRIES)
def test_the_registry_is_named_in_several_ways(
    place: World,
    folder: Path,
    how: str,
) -> None:
    write_app(place, folder, REGISTRIES[how].format(state=place.state))
    with gunicorn(place, folder, processes=1) as server:
        alice, unknown, dave = (server.ask("/see", who).json for who in ("alice", "unknown", "dave"))
        assert (alice["verdict"], alice["name"]) == ("ok", None if how == "none" else "alice")
        assert unknown["verdict"] == ("ok" if how in ("admit", "none") else "not-in-registry")
        assert unknown["name"] is None and unknown["user"] is None
        assert dave["verdict"] == ("ok" if how == "none" else "suspended")


def test_a_serial_alone_is_pinned_in_memory_and_written_nowhere(
    place: World,
    program: Program,
    folder: Path,
) -> None:
    """Each process for itself: nothing says to the others, or to its successor, whose the serial has become."""
    state, elsewhere = (Path(shutil.copytree(place.state, folder / name)) for name in ("state", "elsewhere"))
    done = program.run("client", "issue", "old-meter", "--state", elsewhere)
    assert done.returncode == 0, done.stderr
    pem = (elsewhere / "clients/old-meter.pem").read_text()
    serial = x509.load_pem_x509_certificate(pem.encode()).serial_number
    rows = folder / "old.csv"
    rows.write_text(f"name,serial_hex\nold-meter,{serial:x}\n")
    done = program.run("client", "import", rows, "--issuer", state / "ca/ca.pem", "--state", state)
    assert done.returncode == 0, done.stderr
    pem = pem[: pem.index("-----END CERTIFICATE-----") + 26]
    own = dataclasses.replace(place, state=state)
    write_app(own, folder)
    let_others_read(own)
    (state / "registry.db").chmod(0o444)
    before = (state / "registry.db").read_bytes()
    for _ in range(2):  # and again after a restart
        with gunicorn(own, folder, processes=1) as server:
            for _ in range(2):
                assert ask(server.port, "/see", pem).json["name"] == "old-meter"
    assert (state / "registry.db").read_bytes() == before
    listed = program.run("client", "show", "old-meter", "--json", "--state", state)
    assert json.loads(listed.stdout)["certificates"][0]["fingerprint_sha256"] is None


def test_the_servers_are_here() -> None:
    """Says loudly what is absent, where HANDCLASP_NEIGHBOURS=all asks for everything."""
    programs = ["nginx", "apache2", "haproxy", "caddy", "uwsgi", "traefik", "envoy", "gunicorn"]
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", str(Path(sys.executable).parent)])
    absent = [name for name in programs if shutil.which(name, path=search) is None]
    if not (MODULES / "mod_wsgi.so").exists():
        absent.append("mod_wsgi")
    if absent and os.environ.get("HANDCLASP_NEIGHBOURS") != "all":
        pytest.skip(f"NOT TESTED behind or inside {', '.join(absent)}: make deps-check, scripts/extras.sh test")
    assert not absent
