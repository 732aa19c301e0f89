"""The units for systemd: sound, installed where they belong, and true about what the program needs."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Program, Server, eventually, wait_until_listening

UNITS = ROOT / "systemd"
HELLO = """
import os
def app(environ, start_response):
    start_response("200 OK", [])
    return [repr((os.getuid(), os.getppid())).encode()]
"""


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [name for name in programs if not shutil.which(name)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}")


def as_root() -> pytest.MarkDecorator:
    return pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=120)


def setting(name: str) -> str:
    """The value of a setting of the service."""
    text = (UNITS / "handclasp@.service.in").read_text()
    return re.search(rf"^{name}=(.*)$", text, re.M)[1]


@pytest.fixture
def units(program: Program, tmp_path: Path) -> list[Path]:
    """As they are installed, with the program under test."""
    text = (UNITS / "handclasp@.service.in").read_text()
    service = tmp_path / "handclasp@.service"
    service.write_text(text.replace("@BINDIR@", str(program.binary.parent)))
    return [service, Path(shutil.copy(UNITS / "handclasp@.socket", tmp_path))]


@needs("systemd-analyze")
def test_systemd_finds_no_fault_with_the_units(units):
    done = run("systemd-analyze", "verify", "--man=no", *units)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs("systemd-analyze")
def test_a_fault_in_a_unit_would_be_found(units):
    units[0].write_text(units[0].read_text() + "\n[Service]\nKillMode=sometimes\nNoSuch=1\n")
    done = run("systemd-analyze", "verify", "--man=no", *units)
    assert "sometimes" in done.stderr
    assert "NoSuch" in done.stderr


@needs("systemd-analyze")
def test_the_service_is_shut_in(units):
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=30", units[0])
    assert done.returncode == 0, done.stdout


@needs("systemd-sysusers", "systemd-tmpfiles")
@as_root()
def test_users_and_folders_are_made(tmp_path):
    (tmp_path / "etc").mkdir()
    root = f"--root={tmp_path}"
    assert run("systemd-sysusers", root, UNITS / "handclasp.sysusers").returncode == 0
    users = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()]
    assert {user[0] for user in users} == {"handclasp", "handclasp-front", "handclasp-authority"}
    assert len({user[2] for user in users}) == 3
    assert all("nologin" in user[6] for user in users)
    assert run("systemd-tmpfiles", root, "--create", UNITS / "handclasp.tmpfiles").returncode == 0
    assert (tmp_path / "etc/handclasp").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "var/lib/handclasp").is_dir()


def test_the_service_names_the_users_that_are_made():
    made = re.findall(r"^u (\S+)", (UNITS / "handclasp.sysusers").read_text(), re.M)
    start = setting("ExecStart")
    named = [re.search(rf"{flag} (\S+)", start)[1] for flag in ("--user", "--front-user", "--authority-user")]
    assert sorted(named) == sorted(made)


@needs("meson", "ninja")
def test_the_build_installs_all_where_systemd_looks(tmp_path):
    build, into = tmp_path / "build", tmp_path / "into"
    options = ["-Dsystemd=true", "-Dtests=disabled", "--prefix=/usr"]
    assert run("meson", "setup", build, ROOT, *options).returncode == 0
    done = run("meson", "install", "-C", build, "--no-rebuild", "--tags", "systemd", "--destdir", into)
    assert done.returncode == 0, done.stderr
    found = {str(path.relative_to(into)) for path in into.rglob("*") if path.is_file()}
    assert found == {
        "usr/lib/systemd/system/handclasp@.service",
        "usr/lib/systemd/system/handclasp@.socket",
        "usr/lib/sysusers.d/handclasp.conf",
        "usr/lib/tmpfiles.d/handclasp.conf",
    }
    service = (into / "usr/lib/systemd/system/handclasp@.service").read_text()
    assert "ExecStart=/usr/bin/handclasp serve " in service


# as the service manager starts it, but for the sandbox that only systemd can build


class Instance:
    """The service's own command lines, for a folder in the place of /."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.state = folder / "var/lib/handclasp/shop"

    def command(self, name: str) -> list[str]:
        line = setting(name).replace("%i", "shop").replace("@BINDIR@/handclasp", "PROGRAM")
        line = re.sub(r" (/\S+)", rf" {self.folder}\1", line)
        words = {"PROGRAM": str(self.program.binary), "handclasp": "nobody"}
        words |= {"handclasp-front": "daemon", "handclasp-authority": "mail"}
        return [words.get(word, word) for word in shlex.split(line)]

    def confined(self) -> list[str]:
        rights = setting("CapabilityBoundingSet").lower().split()
        bounding = "-all," + ",".join("+" + right.removeprefix("cap_") for right in rights)
        return ["setpriv", f"--bounding-set={bounding}", "--no-new-privs"]


@pytest.fixture
def instance(program: Program, state: Path) -> Iterator[Instance]:
    folder = Path(tempfile.mkdtemp(prefix="handclasp-systemd-", dir="/tmp"))
    folder.chmod(0o755)
    package = None
    if program.pythonpath:
        package = folder / "package"
        shutil.copytree(program.pythonpath, package)
        package.chmod(0o755)
    made = Instance(Program(program.binary, Path("/usr/bin/python3"), package), folder)
    made.state.parent.mkdir(parents=True)
    shutil.copytree(state, made.state)
    made.state.chmod(0o700)
    (folder / "etc/handclasp").mkdir(parents=True, mode=0o700)
    (folder / "etc/handclasp/shop.yaml").write_text(
        f"app: app:app\nchdir: {folder}\npython: /usr/bin/python3\nbind: 127.0.0.1:0\nworkers: 1\n"
        "registry: sqlite:registry.db\n"
    )
    (folder / "app.py").write_text(HELLO)
    env = made.program.environment()
    probe = ["/usr/bin/python3", "-c", "import handclasp.worker"]
    if subprocess.run(probe, check=False, capture_output=True, env=env).returncode != 0:
        pytest.skip("no interpreter with the package that another user may run")
    yield made
    shutil.rmtree(folder)


@contextlib.contextmanager
def started(instance: Instance) -> Iterator[tuple[Server, socket.socket]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        (instance.folder / "notify").unlink(missing_ok=True)
        manager.bind(str(instance.folder / "notify"))
        manager.settimeout(30)
        process = subprocess.Popen(
            [*instance.confined(), *instance.command("ExecStart")],
            cwd="/",
            env=instance.program.environment(NOTIFY_SOCKET=str(instance.folder / "notify")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        server = Server(process, instance.state)
        try:
            wait_until_listening(server, instance.folder)
            yield server, manager
        finally:
            server.stop()
            print("\n".join(server.log()))


@as_root()
@needs("setpriv")
def test_the_service_starts_serves_and_ends_with_the_rights_it_keeps(instance):
    with started(instance) as (server, manager):
        assert manager.recv(100) == b"READY=1"
        assert "processes=apart" in server.wait_for("listening on")
        assert not [line for line in server.log() if "WARNING" in line]
        assert server.request("/").status == 200
        server.send_signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
        assert server.wait() == 0


@as_root()
@needs("setpriv")
def test_the_service_reloads_by_its_own_command(instance):
    with started(instance) as (server, _):
        first = server.request("/").body
        done = run(*instance.confined(), *instance.command("ExecReload"))
        assert done.returncode == 0, done.stderr
        assert server.request("/").body.startswith(b"(65534, ")
        assert first.startswith(b"(65534, ")
        (instance.state / "server/server.pem").write_text("broken\n")
        assert run(*instance.confined(), *instance.command("ExecReload")).returncode == 1
        assert server.request("/").status == 200


@as_root()
@needs("setpriv")
def test_a_worker_that_hangs_can_be_killed_with_the_rights_that_are_kept(instance):
    app = "import time\n" + HELLO.replace("    start_response", "    time.sleep(60)\n    start_response")
    (instance.folder / "app.py").write_text(app)
    with open(instance.folder / "etc/handclasp/shop.yaml", "a") as options:
        options.write("timeout: 1\n")
    with started(instance) as (server, _):
        assert server.request("/").status == 503
        server.wait_for("is killed and replaced")


@as_root()
@needs("setpriv")
def test_the_service_obeys_its_registry_also_after_a_restart(instance):
    for status in (200, 403):
        with started(instance) as (server, _):
            assert server.request("/").status == status
            if status == 200:
                done = instance.program.run("client", "suspend", "alice", "--state", instance.state)
                assert done.returncode == 0, done.stderr
                eventually(lambda: server.request("/").status == 403, "suspended")
