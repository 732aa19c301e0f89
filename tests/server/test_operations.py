"""`handclasp status` and `handclasp reload`: how an operator sees and changes a running server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import HELLO, eventually, is_running

BROKEN = "raise RuntimeError('not today')\n"


def says(program, server, command: str, *args: str):
    """(exit code, object) of `handclasp COMMAND --json` for a running server."""
    done = program.run(command, "--state", server.state, "--json", *args)
    return done.returncode, json.loads(done.stdout)


def test_status_says_what_the_server_is_and_does(program, server, own_state):
    with server(state=own_state, workers=2, threads=3) as running:
        eventually(lambda: says(program, running, "status")[1]["front"]["threads"] == 6, "all threads ready")
        for _ in range(3):
            assert running.request("/").status == 200
        code, status = says(program, running, "status")
        assert code == 0
        assert (status["phase"], status["pid"]) == ("serving", running.pid)
        assert status["listening"] == [f"https://127.0.0.1:{running.port}"]
        assert (status["client_cert"], status["registry"]) == ("required", "sqlite:registry.db")
        assert status["processes"] == "together"
        assert status["front"]["pid"] == running.front_pid()
        assert status["front"]["state"] == "serving"
        assert (status["front"]["requests"], status["front"]["handshakes"]) == (3, 3)
        assert status["front"]["generation"] == 1
        assert sorted(w["pid"] for w in status["workers"]) == sorted(running.worker_pids())
        assert {w["state"] for w in status["workers"]} == {"ready"}
        ends = {c["kind"]: c["days_left"] for c in status["certificates"]}
        assert ends.keys() == {"server", "ca"}
        assert all(days > 0 for days in ends.values())


def test_status_counts_connections_that_are_open(program, server, own_state):
    with server(state=own_state) as running:
        kept = [running.connection() for _ in range(3)]
        for one in kept:
            assert running.request("/", over=one).status == 200
        assert says(program, running, "status")[1]["front"]["connections"] == 3
        for one in kept:
            one.close()
        eventually(
            lambda: says(program, running, "status")[1]["front"]["connections"] == 0,
            "closed connections are counted off",
        )


def test_status_in_words_names_what_matters(program, server, own_state):
    with server(state=own_state) as running:
        done = program.run("status", "--state", own_state)
        assert done.returncode == 0
        for words in (
            "is serving",
            f"https://127.0.0.1:{running.port}",
            "not kept apart",
            f"pid {running.front_pid()}",
            f"pid {running.worker_pids()[0]}",
            "days left",
        ):
            assert words in done.stdout


def test_status_answers_while_the_front_hangs(program, server, own_state):
    with server(state=own_state) as running:
        front = running.front_pid()
        os.kill(front, signal.SIGSTOP)
        try:
            code, status = says(program, running, "status")
        finally:
            os.kill(front, signal.SIGCONT)
        assert code == 0
        assert status["front"] == {"pid": front, "state": "serving", "answers": False}


@pytest.mark.parametrize("command", ["status", "reload"])
def test_without_a_server_the_command_says_where_it_looked(program, own_state, command):
    done = program.run(command, "--state", own_state)
    assert done.returncode == 1
    assert str(own_state / "run/control.sock") in done.stderr
    assert "is it running" in done.stderr


def test_a_socket_left_by_a_server_that_was_killed_is_replaced(program, server, own_state):
    with server(state=own_state) as running:
        running.process.kill()
        running.wait()
        assert (own_state / "run/control.sock").exists()
        assert program.run("status", "--state", own_state).returncode == 1
    with server(state=own_state) as running:
        assert says(program, running, "status")[1]["pid"] == running.pid
    assert not (own_state / "run/control.sock").exists()


def test_a_second_server_of_one_state_folder_leaves_the_first_its_socket(program, server, own_state, tmp_path):
    with server(state=own_state) as first, server(state=own_state) as second:
        second.wait_for("no control socket, so status and reload will not find this server")
        assert says(program, first, "status")[1]["pid"] == first.pid
    with server(state=own_state, control_socket=tmp_path / "other.sock") as second:
        done = program.run("status", "--control-socket", tmp_path / "other.sock", "--json")
        assert json.loads(done.stdout)["pid"] == second.pid


def test_a_control_socket_that_cannot_be_made_ends_the_start(start, own_state, tmp_path):
    (tmp_path / "file").write_text("")
    refused = start(state=own_state, control_socket=tmp_path / "file/control.sock")
    assert refused.wait() == 1
    assert any("--control-socket" in line for line in refused.log())


def test_a_control_socket_may_have_a_long_path(program, server, tmp_path, state):
    deep = tmp_path.joinpath(*["d" * 50] * 4) / "state"
    shutil.copytree(state, deep)
    with server(state=deep) as running:
        assert says(program, running, "status")[1]["pid"] == running.pid


def test_the_control_socket_is_for_its_user_alone(server, own_state):
    with server(state=own_state):
        path = own_state / "run/control.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_even_where_the_files_would_let_him(program, server):
    folder = Path("/tmp") / f"handclasp-control-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o755)
    path = folder / "control.sock"
    try:
        with server(control_socket=path) as running:
            path.chmod(0o777)
            done = program.run("status", "--control-socket", path, "--json")
            assert done.returncode == 0
            speak = f"""
import os, socket
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect({str(path)!r})
try:
    s.sendall(b"status\\n"); print(s.recv(100))
except (BrokenPipeError, ConnectionResetError):
    print(b"")
"""
            answer = subprocess.run(["/usr/bin/python3", "-c", speak], capture_output=True, text=True)
            assert answer.stdout.strip() == "b''", answer
            running.wait_for("another user's call at the control socket is refused")
    finally:
        shutil.rmtree(folder)


def speak(path: Path, octets: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        os.chdir(path.parent)
        s.connect(path.name)
        with contextlib.suppress(BrokenPipeError):
            s.sendall(octets)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := s.recv(65536):
                answer += piece
        return answer


def test_nonsense_at_the_control_socket_does_no_harm(program, server, own_state, monkeypatch):
    monkeypatch.chdir(own_state)
    with server(state=own_state) as running:
        path = own_state / "run/control.sock"
        assert b"unknown command" in speak(path, b"destroy\n")
        assert speak(path, b"x" * 5000) == b""
        assert speak(path, b"status\n").startswith(b"{")
        idle = []
        for _ in range(40):  # more than are listened to at a time
            one = socket.socket(socket.AF_UNIX)
            one.connect("control.sock")
            idle.append(one)
        for one in idle:
            one.close()
        eventually(lambda: program.run("status", "--state", own_state).returncode == 0, "it still answers")
        assert running.request("/").status == 200


# reload


def test_reload_waits_until_new_workers_serve(program, server, own_state, tmp_path):
    with server(state=own_state) as running:
        old = running.worker_pids()
        (tmp_path / "app.py").write_text(HELLO.replace("hello", "changed"))
        code, outcome = says(program, running, "reload")
        assert (code, outcome) == (0, {"ok": True})
        assert running.request("/").body == b"changed"
        eventually(lambda: not any(map(is_running, old)), "the old worker ends")
        assert says(program, running, "status")[1]["front"]["generation"] == 2


def test_reload_says_why_it_was_refused_and_exits_1(program, server, own_state):
    with server(state=own_state) as running:
        (own_state / "server/server.pem").write_text("nothing\n")
        done = program.run("reload", "--state", own_state)
        assert done.returncode == 1
        assert "server.pem" in done.stderr
        assert says(program, running, "reload")[1]["ok"] is False
        assert running.request("/").status == 200
        assert says(program, running, "status")[1]["front"]["generation"] == 1


def test_reload_says_that_the_new_workers_failed(program, server, own_state, tmp_path):
    with server(state=own_state) as running:
        (tmp_path / "app.py").write_text(BROKEN)
        code, outcome = says(program, running, "reload")
        assert code == 1
        assert "new workers failed" in outcome["error"]
        assert running.request("/").body == b"hello"


def test_reload_without_time_to_wait_goes_on_all_the_same(program, server, own_state, tmp_path):
    with server(state=own_state) as running:
        (tmp_path / "app.py").write_text("import time\ntime.sleep(1)\n" + HELLO)
        done = program.run("reload", "--state", own_state, "--timeout", "100ms")
        assert done.returncode == 1
        assert "in time" in done.stderr
        running.wait_for("the new workers serve")


def test_everyone_who_asked_for_a_reload_hears_of_an_outcome(program, server, own_state):
    outcomes: list[int] = []
    with server(state=own_state) as running:

        def ask() -> None:
            outcomes.append(says(program, running, "reload")[0])

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert outcomes == [0] * 6
        assert running.request("/").status == 200


def test_commands_find_the_server_by_its_own_configuration(program, server, own_state, tmp_path):
    (own_state / "handclasp.yaml").write_text(f"control-socket: {tmp_path / 'here.sock'}\n")
    with server(state=own_state) as running:
        done = program.run("status", "--state", own_state, "--json")
        assert json.loads(done.stdout)["pid"] == running.pid


# logs


def test_usr1_opens_the_log_files_anew(start, own_state, tmp_path):
    app = """
import sys
def app(environ, start_response):
    print("the application was asked for", environ["PATH_INFO"], file=sys.stderr, flush=True)
    start_response("200 OK", [])
    return [b"hello"]
"""
    access, errors = tmp_path / "access.log", tmp_path / "error.log"
    running = start(app, state=own_state, access_logfile=access, error_logfile=errors)
    eventually(lambda: errors.exists() and "listening on" in errors.read_text(), "it listens", timeout=30)
    running.port = int(re.search(r"https://127.0.0.1:(\d+)", errors.read_text())[1])
    assert running.request("/one").status == 200
    eventually(lambda: "GET /one" in access.read_text(), "the first line is there")
    access.rename(tmp_path / "access.1")
    errors.rename(tmp_path / "error.1")
    running.send_signal(signal.SIGUSR1)
    eventually(lambda: errors.exists() and "the new workers serve" in errors.read_text(), "all write anew")
    assert "opened anew" in errors.read_text()
    assert running.request("/two").status == 200
    eventually(lambda: "GET /two" in access.read_text(), "the second line is there")
    assert "GET /two" not in (tmp_path / "access.1").read_text()
    assert "asked for /two" in errors.read_text()
    assert "asked for /two" not in (tmp_path / "error.1").read_text()
    assert running.stop() == 0


def test_a_log_that_cannot_be_opened_anew_stays_where_it_is(server, own_state, tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    with server(state=own_state, access_logfile=folder / "access.log") as running:
        moved = folder.rename(tmp_path / "moved")
        running.send_signal(signal.SIGUSR1)
        running.wait_for("logs stay where they are: --access-logfile")
        assert running.request("/one").status == 200
        eventually(lambda: "GET /one" in (moved / "access.log").read_text(), "the line is there")


def test_reload_says_that_the_front_died_before_the_new_workers_served(program, server, own_state, tmp_path):
    app = "import os, time\nwhile os.path.exists('wait'):\n    time.sleep(0.01)\n" + HELLO
    with server(app, state=own_state) as running:
        (tmp_path / "wait").touch()
        command = [str(program.binary), "reload", "--state", str(own_state)]
        with subprocess.Popen(command, env=program.environment(), stderr=subprocess.PIPE, text=True) as reload:
            running.wait_for("the new configuration is in force")
            os.kill(running.front_pid(), signal.SIGKILL)
            said = reload.communicate(timeout=20)[1]
        assert reload.returncode == 1
        assert "the front died while the new workers loaded" in said
        assert not [line for line in running.log() if "the new workers serve" in line]
        (tmp_path / "wait").unlink()
        running.wait_for("serving again")
        assert running.request().status == 200
