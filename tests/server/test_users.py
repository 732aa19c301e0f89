"""Started as root: supervisor, front and workers are users of their own, and who breaks into one stays in it."""

from __future__ import annotations

import ast
import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import HELLO, Program, Server, children, eventually, running
from records import REVOKED, SUSPENDED, Registry

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change user")

WORKER, FRONT, AUTHORITY = "nobody", "daemon", "mail"

# What an intruder does: runs the expression that a request brings, and says what came of it.
INTRUDER = """
import ctypes, os, socket

def attempt(what):
    try:
        return "got " + repr(what())
    except OSError as e:
        return "refused " + e.strerror

def read(path):
    return attempt(lambda: open(path, "rb").read(1))

def ptrace(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    def attach():
        if libc.ptrace(16, pid, 0, 0) != 0:  # PTRACE_ATTACH
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return "attached"
    return attempt(attach)

def write_memory(pid):
    return attempt(lambda: open("/proc/%d/mem" % pid, "r+b"))

def call(path):
    def connect():
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        s.sendall(b"reload\\n")
        return s.recv(10)
    return attempt(connect)

def app(environ, start_response):
    start_response("200 OK", [])
    return [repr(eval(environ["wsgi.input"].read())).encode()]
"""


def user_of(pid: int) -> tuple[int, ...]:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("Uid:"):
            return tuple(map(int, line.split()[1:]))
    raise AssertionError("no user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user may enter: those of pytest are root's alone."""
    made = Path(tempfile.mkdtemp(prefix="handclasp-users-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def python(program: Program, folder: Path) -> Program:
    """The program with an interpreter and a package that other users may read."""
    package = folder / "package"
    if program.pythonpath:
        shutil.copytree(program.pythonpath, package)
    else:
        where = [program.python, "-c", "import handclasp; print(handclasp.__path__[0])"]
        done = subprocess.run(where, check=True, capture_output=True, text=True, cwd="/")
        shutil.copytree(done.stdout.strip(), package / "handclasp")
    package.chmod(0o755)
    for interpreter in (program.python, Path("/usr/bin/python3")):
        found = Program(program.binary, interpreter, package)
        with contextlib.suppress(OSError):
            probe = subprocess.run(
                [interpreter, "-c", "import handclasp.worker"],
                check=False,
                user=WORKER,
                group=pwd.getpwnam(WORKER).pw_gid,
                extra_groups=[],
                env=found.environment(),
                capture_output=True,
                cwd="/",
            )
            if probe.returncode == 0:
                return found
    pytest.skip("no interpreter with the package that another user may run")


@pytest.fixture
def own_state(state: Path, folder: Path) -> Path:
    """Where the front's user can get at the registry."""
    return Path(shutil.copytree(state, folder / "state"))


@pytest.fixture
def apart(python: Program, own_state: Path, folder: Path):
    """`with apart(APP, …)`: a server whose processes have users of their own."""

    def begin(app: str = INTRUDER, **options):
        options = {"user": WORKER, "front_user": FRONT, "state": own_state} | options
        return running(python, own_state, folder, app, **options)

    return begin


def ask(server, expression: str):
    return ast.literal_eval(server.request("/", method="POST", body=expression).text)


def test_supervisor_front_and_workers_are_three_users(apart):
    with apart() as server:
        assert "processes=apart" in server.wait_for("listening on")
        assert user_of(server.pid) == (0,) * 4
        assert user_of(server.front_pid()) == (pwd.getpwnam(FRONT).pw_uid,) * 4
        (worker,) = server.worker_pids()
        assert user_of(worker) == (pwd.getpwnam(WORKER).pw_uid,) * 4
        assert not [line for line in server.log() if "not kept apart" in line or "as root" in line]


@pytest.mark.parametrize("name", ["server/server.key", "ca/ca.key", "clients/alice.key"])
def test_a_worker_cannot_read_a_key(apart, own_state, name):
    own_state.chmod(0o711)  # it is the file that is to keep him out
    with apart() as server:
        assert ask(server, f"read({str(own_state / name)!r})") == "refused Permission denied"
    assert (own_state / name).read_bytes()


@pytest.mark.parametrize("whose", ["front", "supervisor"])
def test_a_worker_can_neither_read_nor_write_nor_trace_them(apart, whose):
    with apart() as server:
        pid = server.front_pid() if whose == "front" else server.pid
        assert ask(server, f"read('/proc/{pid}/mem')") == "refused Permission denied"
        assert ask(server, f"write_memory({pid})") == "refused Permission denied"
        assert ask(server, f"read('/proc/{pid}/environ')") == "refused Permission denied"
        assert ask(server, f"ptrace({pid})") == "refused Operation not permitted"
        listing = ask(server, f"attempt(lambda: os.listdir('/proc/{pid}/fd'))")
        assert listing == "refused Permission denied"
        assert ask(server, f"attempt(lambda: os.kill({pid}, 9))") == "refused Operation not permitted"
        assert server.request("/", method="POST", body="1").status == 200


def test_the_same_attempts_reach_the_worker_itself(apart):
    """The tests above could not fail if the attempts were wrong."""
    with apart() as server:
        (worker,) = server.worker_pids()
        assert ask(server, f"read('/proc/{worker}/environ')").startswith("got b'")
        assert ask(server, f"write_memory({worker})").startswith("got ")
        assert ask(server, "read('/etc/passwd')") == "got b'r'"


def test_the_front_can_be_traced_by_nobody_of_its_own_user(apart, program):
    if program.sanitizer:
        pytest.skip("a sanitizer's leak check is a debugger itself")
    with apart() as server:
        probe = subprocess.run(
            ["head", "-c1", f"/proc/{server.front_pid()}/environ"],
            check=False,
            user=FRONT,
            group=pwd.getpwnam(FRONT).pw_gid,
            extra_groups=[],
            capture_output=True,
        )
        assert probe.returncode != 0
        assert b"Permission denied" in probe.stderr


def test_a_worker_cannot_reach_the_control_socket(apart, own_state, folder):
    path = folder / "control.sock"
    with apart(control_socket=path) as server:
        assert ask(server, f"call({str(path)!r})") == "refused Permission denied"


def test_a_reload_works_with_privileges_dropped(apart, python, own_state):
    with apart() as server:
        front = server.front_pid()
        done = python.run("reload", "--state", own_state)
        assert done.returncode == 0, done.stderr
        assert server.front_pid() == front
        assert ask(server, "os.getresuid()") == (pwd.getpwnam(WORKER).pw_uid,) * 3


def test_a_front_that_died_comes_back_as_its_user(apart):
    with apart() as server:
        os.kill(server.front_pid(), 9)
        server.wait_for("serving again")
        assert user_of(server.front_pid())[0] == pwd.getpwnam(FRONT).pw_uid
        assert ask(server, "1 + 1") == 2


def test_the_access_log_is_written_where_the_front_may_not(apart, folder):
    private = folder / "log"
    private.mkdir(mode=0o700)
    with apart(access_logfile=private / "access.log") as server:
        assert ask(server, "1") == 1
        eventually(lambda: "POST / " in (private / "access.log").read_text(), "the line is there")
        os.kill(server.front_pid(), 9)
        server.wait_for("serving again")
        assert ask(server, "1") == 1
        eventually(lambda: (private / "access.log").read_text().count("POST / ") == 2, "and the next")
    assert stat.S_IMODE((private / "access.log").stat().st_mode) == 0o640


def test_large_bodies_are_spooled_where_the_front_may(apart, folder):
    spool = folder / "spool"
    spool.mkdir()
    os.chown(spool, pwd.getpwnam(FRONT).pw_uid, -1)
    spool.chmod(0o700)
    with apart(worker_tmp_dir=spool) as server:
        assert ask(server, "len('" + "x" * 300_000 + "')") == 300_000


def test_a_spool_folder_of_another_user_ends_the_start(apart, folder):
    spool = folder / "spool"
    spool.mkdir(mode=0o700)
    with (
        pytest.raises(pytest.fail.Exception, match="--worker-tmp-dir, as the front's user"),
        apart(worker_tmp_dir=spool),
    ):
        pass


def test_one_user_for_both_is_refused(apart):
    with (
        pytest.raises(pytest.fail.Exception, match="is also the user of the workers"),
        apart(front_user=WORKER),
    ):
        pass


def test_a_front_user_that_does_not_exist_is_named(apart):
    with (
        pytest.raises(pytest.fail.Exception, match="--front-user nosuch: there is no such user"),
        apart(front_user="nosuch"),
    ):
        pass


def test_a_front_that_runs_as_root_is_warned_of(python, own_state, folder):
    with running(python, own_state, folder, HELLO, user=WORKER) as server:
        server.wait_for("runs as root; give --front-user")
        assert "processes=apart" in server.wait_for("listening on")


def test_a_front_user_alone_keeps_nothing_apart(python, own_state, folder):
    with running(python, own_state, folder, HELLO, front_user=FRONT) as server:
        assert "processes=together" in server.wait_for("listening on")
        server.wait_for("not kept apart")


# ---- with a registry

CLIENT = (
    INTRUDER
    + """
inner = app

def app(environ, start_response):
    if environ["PATH_INFO"] == "/suspend":
        environ["handclasp.client"].suspend("by itself")
    return inner(environ, start_response)
"""
)


def user_and_mode(path: Path) -> tuple[str, int]:
    return pwd.getpwuid(path.stat().st_uid).pw_name, stat.S_IMODE(path.stat().st_mode)


def authority_pid(server: Server) -> int:
    (found,) = [pid for pid, line in children(server.pid) if line[1:2] == ["authority"]]
    return found


@pytest.fixture
def records(own_state: Path) -> Registry:
    """In a state folder that only root may enter, until the server opens it as far as is needed."""
    own_state.chmod(0o700)
    made = Registry(own_state / "registry.db")
    assert user_and_mode(made.path) == ("root", 0o600)
    return made


@pytest.fixture
def with_records(apart, records: Registry):
    def begin(app: str = CLIENT, **options):
        return apart(app, **({"authority_user": AUTHORITY} | options))

    return begin


def as_user(user: str, *command: object) -> str:
    done = subprocess.run(
        [str(one) for one in command],
        check=False,
        user=user,
        group=pwd.getpwnam(user).pw_gid,
        extra_groups=[],
        capture_output=True,
        cwd="/",
    )
    return "done" if done.returncode == 0 else done.stderr.decode()


def test_the_authority_is_a_user_of_its_own(with_records):
    with with_records() as server:
        assert "processes=apart" in server.wait_for("listening on")
        assert user_of(authority_pid(server)) == (pwd.getpwnam(AUTHORITY).pw_uid,) * 4
        assert ask(server, "1 + 1") == 2


def test_front_reads_the_registry_and_cannot_write_it_and_a_worker_can_do_neither(with_records, records):
    with with_records() as server:
        assert ask(server, f"read({str(records.path)!r})") == "refused Permission denied"
        assert ask(server, f"attempt(lambda: open({str(records.path)!r}, 'ab'))") == "refused Permission denied"
        journal = f"{records.path}-journal"
        assert ask(server, f"read({journal!r})") == "refused Permission denied"
    assert as_user(FRONT, "head", "-c1", records.path) == "done"
    assert as_user(AUTHORITY, "head", "-c1", records.path) == "done"
    for path in (records.path, journal):
        assert "Permission denied" in as_user(FRONT, "dd", "if=/dev/null", f"of={path}", "conv=notrunc")
        assert as_user(AUTHORITY, "dd", "if=/dev/null", f"of={path}", "conv=notrunc") == "done"
        assert "Permission denied" in as_user(WORKER, "head", "-c1", path)


def test_what_else_is_in_the_state_folder_stays_roots(with_records, records):
    state = records.path.parent
    with with_records() as server:
        assert ask(server, "1") == 1
    assert stat.S_IMODE(state.stat().st_mode) == 0o711
    for user in (WORKER, FRONT, AUTHORITY):
        assert "Permission denied" in as_user(user, "ls", state)
        for name in ("handclasp.yaml", "server/server.key", "ca/ca.key", "clients/alice.key"):
            assert "Permission denied" in as_user(user, "head", "-c1", state / name), name


def test_a_worker_can_neither_read_nor_trace_the_authority(with_records):
    with with_records() as server:
        pid = authority_pid(server)
        assert ask(server, f"read('/proc/{pid}/mem')") == "refused Permission denied"
        assert ask(server, f"write_memory({pid})") == "refused Permission denied"
        assert ask(server, f"ptrace({pid})") == "refused Operation not permitted"
        assert ask(server, f"attempt(lambda: os.listdir('/proc/{pid}/fd'))") == "refused Permission denied"
        assert ask(server, f"attempt(lambda: os.kill({pid}, 9))") == "refused Operation not permitted"


def test_changes_of_root_and_of_a_view_reach_the_door_between_users(with_records, records):
    with with_records() as server:
        assert server.request("/", method="POST", body="1").status == 200
        records.set_status("alice", SUSPENDED)
        eventually(lambda: server.request("/", method="POST", body="1").status == 403, "suspended by root")
        records.set_status("alice", 1)
        eventually(lambda: server.request("/", method="POST", body="1").status == 200, "active again")
        assert server.request("/suspend", method="POST", body="1").status == 200
        eventually(lambda: server.request("/", method="POST", body="1").status == 403, "suspended by itself")
    assert records.rows("SELECT status FROM client WHERE name = 'alice'") == [(SUSPENDED,)]
    assert user_and_mode(records.path) == (AUTHORITY, 0o640)


def test_a_writer_killed_in_the_middle_is_rolled_back_by_the_authority(with_records, records):
    """A front that may not write cannot do it: until it is done no certificate comes in."""
    writer = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = TRUNCATE")
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE client SET status = 3")
for i in range(2000):
    db.execute("INSERT INTO audit (at_ms, who, action, client_id, client_name, certificate_id, certificate, was, now)"
               " VALUES (1, 'x', 'client.status', 1, '', 0, '', ?, '')", ("y" * 500,))
os.kill(os.getpid(), 9)
"""
    with with_records(registry_max_age="1s") as server:
        assert ask(server, "1") == 1
        for _ in range(3):
            subprocess.run(["python3", "-c", writer, records.path], check=False)
            eventually(lambda: Path(f"{records.path}-journal").stat().st_size == 0, "the journal was rolled back")
            eventually(lambda: server.request("/", method="POST", body="1").status == 200, "served again")
        records.set_status("alice", REVOKED)
        eventually(lambda: server.request("/", method="POST", body="1").status == 403, "revoked")


def test_a_registry_that_root_put_in_its_place_is_handed_over_by_a_reload(with_records, records, python):
    with with_records(registry_max_age="1s") as server:
        assert ask(server, "1") == 1
        backup = Path(shutil.copy(records.path, records.path.with_suffix(".backup")))
        backup.chmod(0o600)
        os.replace(backup, records.path)
        eventually(lambda: server.request("/", method="POST", body="1").status == 503, "not readable")
        done = python.run("reload", "--state", records.path.parent)
        assert done.returncode == 0, done.stderr
        eventually(lambda: server.request("/", method="POST", body="1").status == 200, "handed over")


def test_check_config_gives_nothing_to_anybody(python, records):
    users = ["--user", WORKER, "--front-user", FRONT, "--authority-user", AUTHORITY]
    done = python.run("check-config", "--state", records.path.parent, *users)
    assert done.returncode == 0, done.stderr
    assert user_and_mode(records.path) == ("root", 0o600)
    assert stat.S_IMODE(records.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("other", [WORKER, FRONT])
def test_the_authority_shares_its_user_with_no_other(with_records, other):
    with (
        pytest.raises(pytest.fail.Exception, match="--authority-user \\S+ is also the user of"),
        with_records(authority_user=other),
    ):
        pass


def test_a_registry_that_has_another_name_is_given_to_nobody(with_records, records):
    os.link(records.path, records.path.with_suffix(".other"))
    with pytest.raises(pytest.fail.Exception, match="has another name"), with_records():
        pass
    assert user_and_mode(records.path) == ("root", 0o600)


def test_a_front_user_alone_can_read_the_registry(with_records, records):
    """The authority then is root, and the file stays root's."""
    with with_records(authority_user="root") as server:
        assert ask(server, "1") == 1
    assert user_and_mode(records.path) == ("root", 0o640)
