"""A registry that is missing, broken, locked or of tomorrow, and an authority that dies: nobody comes in by it, and it
heals by itself."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Program, Server, children, eventually, is_running
from door import Door, authority_pid, make_door, seen, until
from records import SUSPENDED
from tls_client import ask, attempt, connected, verdict_of

# What a client may ask about itself, and what it may not.
ASKS = """
import json
from handclasp.client import RegistryError, RegistryRefused

def app(environ, start_response):
    client = environ.get("handclasp.client")
    what = environ["PATH_INFO"][1:]
    text = environ["wsgi.input"].read().decode()
    try:
        if what == "certificates":
            out = [{"serial": f"{c.serial:x}", "status": c.status, "current": c.current} for c in client.certificates]
        elif what == "suspend":
            out = client.suspend(text)
        elif what == "revoke":
            out = client.revoke(text, "keyCompromise")
        else:
            out = client and client.name
        body = {"ok": True, "out": out}
    except RegistryRefused as e:
        body = {"ok": False, "code": e.code}
    except RegistryError as e:
        body = {"ok": False, "code": "unavailable", "error": str(e)}
    start_response("200 OK", [])
    return [json.dumps(body).encode()]
"""


@pytest.fixture
def door(program: Program, state: Path, tmp_path: Path) -> Door:
    return make_door(program, state, tmp_path)


def asked(server: Server, context, what: str, text: bytes = b"") -> dict:
    return seen(attempt(server, context, f"/{what}", method="POST", body=text))


def status(program: Program, server: Server, socket: Path) -> dict:
    done = program.run("status", "--json", "--control-socket", socket)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 999")
        db.commit()


def of_another_program(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE shop (id)")
        db.commit()


def spoil(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 4096)


SPOILED: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "noise": spoil,
    "of a newer version": newer,
    "of another program": of_another_program,
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


# ---- at start


@pytest.mark.parametrize("how", SPOILED)
def test_a_registry_that_cannot_be_used_ends_the_start(door, how):
    door.issue("alice")
    SPOILED[how](door.registry.path)
    with pytest.raises(pytest.fail.Exception, match="registry"), door.serve():
        pass


def test_a_registry_that_is_locked_for_long_ends_the_start(door):
    door.issue("alice")
    with contextlib.closing(sqlite3.connect(door.registry.path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(pytest.fail.Exception, match="registry"), door.serve(registry_max_age="1s"):
            pass


def test_the_registry_of_the_state_folder_is_found_from_anywhere(program, door, own_state, tmp_path):
    alice = door.issue("alice")
    shutil.copy(door.registry.path, own_state / "records.db")
    with door.serve(state=own_state, registry="sqlite:records.db") as server:
        assert seen(attempt(server, door.context(alice)))["name"] == "alice"


def test_check_config_reads_the_registry_and_changes_nothing(program, door):
    before = door.registry.path.read_bytes()
    files = ["--certfile", door.server_identity.certfile, "--keyfile", door.server_identity.keyfile]
    files += ["--ca-certs", door.ca.certfile]
    good = program.run("check-config", *files, "--registry", f"sqlite://{door.registry.path}")
    assert good.returncode == 0, good.stderr
    assert door.registry.path.read_bytes() == before
    newer(door.registry.path)
    bad = program.run("check-config", *files, "--registry", f"sqlite://{door.registry.path}")
    assert bad.returncode == 1
    assert "newer handclasp" in bad.stdout + bad.stderr


# ---- while clients are served


def unavailable(server: Server, context) -> bool:
    got = attempt(server, context)
    if got.status != 503:
        return False
    assert verdict_of(got) == "registry-unavailable"
    assert int(got.headers["Retry-After"]) > 0
    return True


@pytest.mark.parametrize("how", ["missing", "noise", "of a newer version"])
def test_a_registry_lost_while_serving_answers_503_and_heals_by_itself(door, how):
    alice, stranger = door.issue("alice"), door.ca.issue("stranger")
    path = door.registry.path
    with door.serve(registry_max_age="1s") as server, connected(server, door.context(alice)) as kept:
        assert ask(kept).status == 200
        copy = Path(shutil.copy(path, path.with_suffix(".kept")))
        with open(path, "rb+") as file:
            if how == "noise":
                file.write(b"\xff" * 8192)  # in place: the same file
        if how != "noise":
            SPOILED[how](path)
        until(lambda: ask(kept).status == 503, "an open connection is answered 503")
        assert unavailable(server, door.context(alice))
        assert unavailable(server, door.context(stranger))
        server.wait_for("the registry cannot be read: ")
        os.replace(copy, path)
        until(lambda: ask(kept).status == 200, "it is healed")
        assert verdict_of(attempt(server, door.context(stranger))) == "not-in-registry"
        server.wait_for("the registry can be read again")
        front = [line for line in server.log() if "front the registry can" in line]
        assert len(front) <= 4, front


def test_a_lock_that_is_held_too_long_answers_503_until_it_is_let_go(door):
    alice = door.issue("alice")
    with door.serve(registry_max_age="1s") as server:
        assert attempt(server, door.context(alice)).status == 200
        with contextlib.closing(sqlite3.connect(door.registry.path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = TRUNCATE")
            db.execute("BEGIN EXCLUSIVE")
            until(lambda: unavailable(server, door.context(alice)), "503")
            db.execute("ROLLBACK")
            until(lambda: attempt(server, door.context(alice)).status == 200, "healed")


@pytest.mark.parametrize("mode", ["required", "optional", "request"])
def test_no_mode_admits_a_certificate_while_the_registry_cannot_be_read(door, mode):
    alice = door.issue("alice")
    with door.serve(registry_max_age="1s", client_cert=[mode, "/open=none"]) as server:
        assert attempt(server, door.context(alice)).status == 200
        door.registry.path.unlink()
        until(lambda: unavailable(server, door.context(alice)), "503")
        got = seen(attempt(server, door.context(alice), "/open"))
        assert (got["name"], got["user"]) == (None, None)
        if mode != "required":
            assert attempt(server, door.context(None)).status == 200


def test_a_front_that_died_comes_back_with_503_where_the_registry_is_gone(door):
    alice = door.issue("alice")
    with door.serve(registry_max_age="1s") as server:
        kept = Path(shutil.copy(door.registry.path, door.registry.path.with_suffix(".kept")))
        door.registry.path.unlink()
        os.kill(server.front_pid(), signal.SIGKILL)
        server.wait_for("serving again")
        assert unavailable(server, door.context(alice))
        os.replace(kept, door.registry.path)
        until(lambda: attempt(server, door.context(alice)).status == 200, "healed")


def test_a_reload_keeps_what_is_known_and_takes_new_rules(door, own_state):
    stranger, alice = door.ca.issue("stranger"), door.issue("alice")
    options = own_state / "handclasp.yaml"
    options.write_text("unknown: refuse\n")
    with (
        door.begin(
            ASKS,
            state=own_state,
            registry=f"sqlite://{door.registry.path}",
            certfile=door.server_identity.certfile,
            keyfile=door.server_identity.keyfile,
            ca_certs=door.ca.certfile,
        ) as server,
        connected(server, door.context(stranger)) as kept,
        connected(server, door.context(alice)) as known,
    ):
        assert verdict_of(ask(kept)) == "not-in-registry"
        assert ask(known).status == 200
        options.write_text("unknown: admit\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for("is in force")
        until(lambda: ask(kept).status == 200, "admitted as nobody known")
        assert ask(known).status == 200


# ---- the authority


def test_what_was_seen_is_written_in_batches(door):
    alice = door.issue("alice")
    began = int(time.time())
    with door.serve() as server:
        assert attempt(server, door.context(alice)).status == 200
        until(
            lambda: door.registry.rows("SELECT last_seen_s FROM certificate")[0][0] >= began,
            "alice was seen",
        )
    ((first, last),) = door.registry.rows("SELECT first_seen_s, last_seen_s FROM certificate")
    assert began <= first <= last
    assert door.registry.rows("SELECT count(*) FROM audit WHERE action <> 'crl.make'") == [(1,)], "no change"


def test_what_was_seen_last_is_written_at_the_end(door):
    alice = door.issue("alice")
    with door.serve() as server:
        attempt(server, door.context(alice))
        assert server.stop() == 0
    ((last,),) = door.registry.rows("SELECT last_seen_s FROM certificate")
    assert last > 0


def test_a_refused_client_was_not_seen(door):
    alice = door.issue("alice")
    door.registry.set_status("alice", SUSPENDED)
    with door.serve() as server:
        assert attempt(server, door.context(alice)).status == 403
    assert door.registry.rows("SELECT last_seen_s FROM certificate") == [(0,)]


def test_a_view_lists_the_certificates_of_its_own_client(door):
    alice = door.issue("alice")
    door.issue("bob")
    with door.serve(ASKS) as server:
        got = asked(server, door.context(alice), "certificates")
        assert got == {
            "ok": True,
            "out": [{"serial": f"{alice.serial:x}", "status": "active", "current": True}],
        }


def test_a_view_suspends_its_own_client_and_the_audit_says_so(door):
    alice = door.issue("alice")
    with door.serve(ASKS) as server:
        assert asked(server, door.context(alice), "suspend", b"lost my phone")["ok"]
        until(lambda: attempt(server, door.context(alice)).status == 403, "suspended")
    ((status, reason),) = door.registry.rows("SELECT status, reason FROM client")
    assert (status, reason) == (SUSPENDED, "lost my phone")
    ((who,),) = door.registry.rows("SELECT who FROM audit WHERE action = 'client.status'")
    assert who == "client alice (by a view)"


def test_a_view_revokes_a_certificate_of_its_own_client_and_of_no_other(door):
    alice, bob = door.issue("alice"), door.issue("bob")
    with door.serve(ASKS) as server:
        got = asked(server, door.context(alice), "revoke", bob.sha256.encode())
        assert (got["ok"], got["code"]) == (False, "not-found")
        assert asked(server, door.context(alice), "revoke", alice.sha256.encode())["ok"]
        until(lambda: attempt(server, door.context(alice)).status == 403, "revoked")
        assert attempt(server, door.context(bob)).status == 200
    rows = door.registry.rows("SELECT status, reason FROM certificate ORDER BY id")
    assert rows == [(2, 1), (1, -1)]


def test_killing_the_authority_under_load_costs_nothing(door):
    alice = door.issue("alice")
    bad: list[object] = []
    over = threading.Event()

    def load() -> None:
        with connected(server, door.context(alice)) as kept:
            while not over.is_set():
                got = ask(kept)
                if got.status != 200:
                    bad.append(got)

    with door.serve(ASKS) as server:
        threads = [threading.Thread(target=load) for _ in range(3)]
        for one in threads:
            one.start()
        for count in range(1, 4):
            pid = authority_pid(server)
            os.kill(pid, signal.SIGKILL)
            server.wait_for("the authority died: signal 9", count=count)
            eventually(
                lambda dead=pid: any(line[1:2] == ["authority"] and one != dead for one, line in children(server.pid)),
                "another authority",
            )
        over.set()
        for one in threads:
            one.join()
        assert not bad
        until(lambda: asked(server, door.context(alice), "certificates")["ok"], "it can be asked again")
        until(lambda: door.registry.rows("SELECT last_seen_s FROM certificate")[0][0] > 0, "seen")


def test_without_an_authority_a_view_is_told_so_and_serves_on(door):
    alice = door.issue("alice")
    with door.serve(ASKS) as server:
        assert asked(server, door.context(alice), "certificates")["ok"]
        pid = authority_pid(server)
        os.kill(pid, signal.SIGSTOP)
        try:
            answers: list[dict] = []
            waits = threading.Thread(target=lambda: answers.append(asked(server, door.context(alice), "certificates")))
            waits.start()
            assert attempt(server, door.context(alice)).status == 200
            os.kill(pid, signal.SIGKILL)
            waits.join(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        assert answers and answers[0]["ok"] is False
        assert answers[0]["code"] == "unavailable"


def test_a_new_front_has_an_authority_of_its_own(door):
    alice = door.issue("alice")
    with door.serve(ASKS) as server:
        before = authority_pid(server)
        os.kill(server.front_pid(), signal.SIGKILL)
        server.wait_for("serving again")
        until(lambda: asked(server, door.context(alice), "certificates")["ok"], "asked again")
        assert authority_pid(server) != before
        assert not [line for line in server.log() if "the authority died" in line]


def test_the_authority_ends_with_the_server_however_that_ends(door, tmp_path):
    door.issue("alice")
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL):
        # Its own, since one that is killed leaves it behind.
        with door.serve(control_socket=tmp_path / f"{number}.sock") as server:
            pid = authority_pid(server)
            server.process.send_signal(number)
            server.process.wait(20)
            eventually(lambda pid=pid: not is_running(pid), "the authority has ended")


# ---- what is said of it


def test_status_metrics_and_access_log_tell_of_records(program, door, tmp_path):
    alice = door.issue("alice")
    door.issue("bob")
    socket = tmp_path / "control.sock"
    options = {"control_socket": socket, "metrics_bind": "127.0.0.1:0", "access_logfile": "-"}
    with door.serve(registry_max_age="1s", **options) as server:
        assert attempt(server, door.context(alice)).status == 200
        said = status(program, server, socket)
        assert said["authority"] == {"pid": authority_pid(server), "state": "running"}
        registry = said["front"]["registry"]
        assert (registry["trusted"], registry["clients"], registry["certificates"]) == (True, 2, 2)
        text = program.run("status", "--control-socket", socket).stdout
        assert "2 clients, 2 certificates; up to date" in text
        (bound,) = said["metrics"]
        metrics = urllib.request.urlopen(f"{bound}/metrics", timeout=10).read().decode()
        assert "handclasp_registry_trusted 1\n" in metrics
        assert "handclasp_registry_certificates 2\n" in metrics
        assert "handclasp_registry_clients 2\n" in metrics
        assert re.search(r"^handclasp_registry_age_seconds \d", metrics, re.M)
        assert re.search(r"127\.0\.0\.1 - alice \[", server.wait_for_output("GET / "))
        door.registry.path.unlink()
        until(lambda: not status(program, server, socket)["front"]["registry"]["trusted"], "not trusted")
        with pytest.raises(urllib.error.HTTPError, match="503") as unhealthy:
            urllib.request.urlopen(f"{bound}/healthz", timeout=10)
        assert b"registry" in unhealthy.value.read()


def test_without_a_registry_there_is_no_authority(program, door, tmp_path):
    socket = tmp_path / "control.sock"
    with door.serve(registry="none", control_socket=socket) as server:
        assert not [line for _, line in children(server.pid) if line[1:2] == ["authority"]]
        said = status(program, server, socket)
        assert "authority" not in said
        assert "registry" not in said["front"]
