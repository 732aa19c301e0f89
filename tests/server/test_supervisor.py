"""The supervisor, seen from outside: what starts, what is replaced, what ends, and what it says about it."""

from __future__ import annotations

import ast
import contextlib
import itertools
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import HELLO, children, eventually, is_running

# Says who answers; "/die", "/exit" and "/hang" do that; "/slow" says "started" in the log and waits for a file.
WORKER = """
import os, signal, sys, time
VERSION = "1"

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    if path == "/exit":
        os._exit(9)
    if path == "/hang":
        time.sleep(1000)
    if path == "/slow":
        print("slow request started", file=sys.stderr, flush=True)
        while not os.path.exists("go-on"):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{VERSION} {os.getpid()}".encode()]
"""


def answers(running, **options) -> tuple[str, int]:
    """Version and process number of whoever answers."""
    got = running.request("/", **options)
    assert got.status == 200, got
    version, pid = got.text.split()
    return version, int(pid)


def reloaded(running, count: int = 1) -> None:
    """Until the new workers serve and the old ones, that have nothing to finish, are gone."""
    running.wait_for("the new workers serve", count=count)
    eventually(lambda: len(running.worker_pids()) == 1, "the old worker is gone")


def slow_request(running, results: list) -> threading.Thread:
    """Begins a request that runs until `go-on` exists; its answer, or the exception, goes to `results`."""

    def run() -> None:
        try:
            results.append(running.request("/slow", timeout=60).status)
        except Exception as failure:  # noqa: BLE001 - the test looks at it
            results.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    running.wait_for("slow request started")
    return thread


@contextlib.contextmanager
def load(running):
    """Four clients, each with a request after the other; yields the list of what failed."""
    failures: list[object] = []
    done = threading.Event()
    counts = [0] * 4

    def client(index: int) -> None:
        kept = None
        while not done.is_set():
            try:
                if counts[index] % 50 == 0:
                    kept = running.connection()
                got = running.request("/", over=kept)
                if got.status != 200:
                    failures.append(got)
                counts[index] += 1
            except Exception as failure:  # noqa: BLE001 - whatever it is, it is a failure
                failures.append(repr(failure))
                return

    threads = [threading.Thread(target=client, args=(i,)) for i in range(len(counts))]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        done.set()
        for thread in threads:
            thread.join(20)
    assert min(counts) > 10


# --- starting ---


def test_one_line_says_where_it_listens_and_under_which_rules(server):
    with server(HELLO, client_cert="optional", workers=2, threads=3) as running:
        line = running.wait_for("listening on")
    for part in [
        f"https://127.0.0.1:{running.port}",
        "client_cert=optional",
        "registry=sqlite:registry.db",
        "processes=together",
        "workers=2",
        "threads=3",
    ]:
        assert part in line.split(), line
    assert len([line for line in running.log() if "listening on" in line]) == 1


def test_every_address_is_listened_on_and_named(server):
    with server(HELLO, bind=["127.0.0.1:0", "127.0.0.1:0"]) as running:
        ports = re.findall(r"https://127.0.0.1:(\d+)", running.wait_for("listening on"))
        assert len(set(ports)) == 2
        for port in ports:
            running.port = int(port)
            assert running.request().status == 200


def test_processes_that_are_not_kept_apart_are_warned_of(server):
    with server(HELLO) as running:
        running.wait_for("WARNING supervisor processes are not kept apart")


@pytest.mark.parametrize(
    ("app", "says"),
    [
        ("no_such_module:app", "no module named 'no_such_module'"),
        ("raise RuntimeError('boom')\n", "boom"),
        ("app = 7\n", "not callable"),
        ("import nothing_of_this_name\n", "nothing_of_this_name"),
    ],
)
def test_an_application_that_cannot_be_loaded_ends_the_start(start, app, says):
    starting = start(app, workers=2)
    assert starting.wait() == 4
    text = "\n".join(starting.log())
    assert says in text
    assert "cannot load the application" in text
    assert "listening" not in text


def test_a_worker_that_dies_before_it_was_ready_ends_the_start(start):
    starting = start("import os\nos._exit(77)\n")
    assert starting.wait() == 3
    starting.wait_for("ended before it was ready: exit code 77")


def test_a_python_that_is_not_there_ends_the_start(start):
    starting = start(HELLO, python="/nowhere/python")
    assert starting.wait() == 1
    starting.wait_for("--python: /nowhere/python: there is no such program")


def test_a_broken_certificate_ends_the_start(start, own_state):
    (own_state / "server/server.pem").write_text("nonsense")
    starting = start(HELLO, state=own_state)
    assert starting.wait() == 1
    starting.wait_for("server.pem")


def test_an_address_in_use_ends_the_start_and_is_named(server, start):
    with server(HELLO) as running:
        second = start(HELLO, bind=f"127.0.0.1:{running.port}")
        assert second.wait() == 1
        second.wait_for(f"127.0.0.1:{running.port}")
        assert running.request().status == 200


def test_no_client_is_refused_while_the_application_is_still_loading(start, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = "import os, sys, time\nprint('loading', file=sys.stderr, flush=True)\n"
    app += "while not os.path.exists('go-on'):\n    time.sleep(0.01)\n" + HELLO
    starting = start(app, bind=f"127.0.0.1:{port}")
    starting.wait_for("loading")
    starting.port = port
    results: list[int] = []
    waiting = threading.Thread(target=lambda: results.append(starting.request().status))
    waiting.start()
    assert not any("listening on" in line for line in starting.log())
    (tmp_path / "go-on").touch()
    waiting.join(20)
    assert results == [200]
    assert starting.stop() == 0


def test_checking_a_configuration_loads_everything_and_serves_nothing(program, state, tmp_path):
    (tmp_path / "app.py").write_text(HELLO)
    with socket.create_server(("127.0.0.1", 0)) as taken:  # no address is needed
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        done = check_config(program, state, tmp_path, "--bind", bind)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", ["certificate", "ca", "application"])
def test_checking_a_configuration_finds_what_a_start_would(program, own_state, tmp_path, what):
    (tmp_path / "app.py").write_text(
        "raise RuntimeError('boom')" if what == "application" else HELLO
    )
    if what == "certificate":
        other = own_state / "clients/alice.pem"  # not the one of the key
        (own_state / "server/server.pem").write_bytes(other.read_bytes())
    if what == "ca":
        (own_state / "ca/ca.pem").write_text("nonsense")
    done = check_config(program, own_state, tmp_path)
    assert done.returncode == 1, done.stdout
    assert {"certificate": "server.", "ca": "ca.pem", "application": "boom"}[what] in done.stderr


def check_config(program, state, folder, *args):
    python = ("--python", program.python)
    return program.run("check-config", "--state", state, *python, *args, "app:app", cwd=folder)


# --- workers that die ---


@pytest.mark.parametrize(
    ("path", "says"),
    [("/die", r"died: signal 9 \(Killed\)"), ("/exit", "died: exit code 9")],
)
def test_a_worker_that_dies_is_replaced_and_the_log_says_why(server, path, says):
    with server(WORKER) as running:
        _, before = answers(running)
        with contextlib.suppress(OSError, ssl.SSLError):
            assert running.request(path).status in (502, 503)
        running.wait_for(f"ERROR supervisor worker .*pid {before}.*{says}.*it is replaced")
        _, after = answers(running)
        assert after != before


def test_the_other_worker_serves_while_one_is_replaced(server):
    with server(WORKER, workers=2, log_level="debug") as running:
        running.wait_for("worker . is ready", count=2)
        victim = running.worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        for _ in range(20):
            assert answers(running)[1] != victim
        running.wait_for("died: signal 9")


def test_a_worker_that_hangs_is_killed_and_replaced(server):
    with server(WORKER, timeout=1) as running:
        _, before = answers(running)
        assert running.request("/hang").status == 503
        running.wait_for(f"worker .*pid {before}.* is killed and replaced")
        eventually(lambda: not is_running(before), "the worker that hung is gone")
        _, after = answers(running)
        assert after != before


def test_a_worker_that_keeps_dying_is_not_restarted_in_a_tight_loop(server, tmp_path):
    app = "import os\nif os.path.exists('broken'):\n    os._exit(5)\n" + WORKER
    with server(app) as running:
        (tmp_path / "broken").touch()
        os.kill(running.worker_pids()[0], signal.SIGKILL)
        running.wait_for("ended before it was ready: exit code 5", count=4)
        begun = [line.split()[0] for line in running.log() if "exit code 5" in line][:4]
        seconds = [float(t[17:23]) + 60 * int(t[14:16]) for t in begun]
        pauses = [(b - a) % 3600 for a, b in itertools.pairwise(seconds)]
        assert pauses == sorted(pauses), "each pause is longer than the one before"
        (tmp_path / "broken").unlink()
        assert running.request("/", timeout=20).status == 200


def test_a_worker_is_replaced_after_its_number_of_requests(server):
    with server(WORKER, max_requests=5) as running:
        seen = set()

        def three_have_answered() -> bool:
            seen.add(answers(running)[1])
            return len(seen) >= 3

        eventually(three_have_answered, "workers follow one another")
        running.wait_for("has had its number of requests and is replaced", count=2)
        assert not [line for line in running.log() if "died" in line]


def test_a_worker_serves_on_until_its_successor_has_loaded(server, tmp_path):
    with server(WORKER, max_requests=3) as running:
        first = answers(running)[1]
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        (tmp_path / "app.py").write_text(f"open({str(gate)!r}).read()\n" + WORKER)
        for _ in range(20):  # none waits for the next worker, which cannot begin
            assert answers(running)[1] == first
        running.wait_for("has had its number of requests")
        gate.write_text("go")
        eventually(lambda: answers(running)[1] != first, "the next one takes over")
        gate.unlink()
        (tmp_path / "app.py").write_text(WORKER)


def test_a_spent_worker_whose_successor_fails_serves_on(server, tmp_path):
    with server(WORKER, max_requests=3) as running:
        first = answers(running)[1]
        (tmp_path / "app.py").write_text("raise RuntimeError\n")
        for _ in range(5):
            assert answers(running)[1] == first
        running.wait_for("cannot load the application", count=2)
        assert answers(running)[1] == first
        (tmp_path / "app.py").write_text(WORKER)
        eventually(lambda: answers(running)[1] != first, "the next one takes over")


def test_no_request_is_lost_when_workers_end_after_their_number_of_requests(server):
    with server(WORKER, workers=2, max_requests=20) as running, load(running) as failures:
        running.wait_for("has had its number of requests and is replaced", count=6)
    assert failures == []


# --- the front ---


def test_a_front_that_dies_is_restarted_with_fresh_workers(server):
    with server(WORKER) as running:
        front, (worker,) = running.front_pid(), running.worker_pids()
        os.kill(front, signal.SIGKILL)
        running.wait_for(r"the front died: signal 9 \(Killed\)")
        running.wait_for("serving again")
        assert running.front_pid() != front
        assert answers(running)[1] != worker
        eventually(lambda: not is_running(worker), "the worker of the front that died is gone")


def test_a_front_is_restarted_with_what_was_in_force_not_with_what_lies_on_disk(server, own_state):
    with server(HELLO, state=own_state) as running:
        certificate = (own_state / "server/server.pem").read_text()
        (own_state / "server/server.pem").write_text("nonsense")
        os.kill(running.front_pid(), signal.SIGKILL)
        running.wait_for("serving again")
        assert running.request().status == 200
        (own_state / "server/server.pem").write_text(certificate)


def test_the_key_is_neither_on_a_command_line_nor_in_an_environment(server, state):
    key = (state / "server/server.key").read_text().splitlines()[1]
    with server(HELLO) as running:
        for pid in [running.pid, running.front_pid(), *running.worker_pids()]:
            for name in ("cmdline", "environ"):
                assert key not in Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")


# --- reload ---


def test_new_code_serves_after_a_reload_on_the_same_connection(server, tmp_path):
    with server(WORKER) as running:
        kept = running.connection()
        assert answers(running, over=kept)[0] == "1"
        (tmp_path / "app.py").write_text(WORKER.replace('"1"', '"22"'))
        running.send_signal(signal.SIGHUP)
        reloaded(running)
        assert answers(running, over=kept)[0] == "22"
        kept.close()


def test_a_reload_with_an_application_that_fails_keeps_the_old_workers(server, tmp_path):
    with server(WORKER, workers=2, log_level="debug") as running:
        running.wait_for("worker . is ready", count=2)
        before = sorted(running.worker_pids())
        (tmp_path / "app.py").write_text("raise RuntimeError('broken')\n")
        running.send_signal(signal.SIGHUP)
        running.wait_for("ERROR supervisor the new workers failed, the old ones serve on")
        assert answers(running)[1] in before
        eventually(
            lambda: sorted(running.worker_pids()) == before,
            "only the old workers are there",
        )
        # and the next one, mended, is taken
        (tmp_path / "app.py").write_text(WORKER.replace('"1"', '"333"'))
        running.send_signal(signal.SIGHUP)
        running.wait_for("the new workers serve")
        eventually(lambda: not set(before) & set(running.worker_pids()), "the old workers are gone")
        assert answers(running)[0] == "333"


@pytest.mark.parametrize("name", ["server/server.pem", "server/server.key", "ca/ca.pem"])
@pytest.mark.parametrize("how", ["nonsense", "missing"])
def test_a_reload_with_a_bad_file_keeps_what_was_in_force(server, own_state, name, how):
    with server(WORKER, state=own_state) as running:
        context = running.ssl_context()
        _, before = answers(running, context=context)
        if how == "missing":
            (own_state / name).unlink()
        else:
            (own_state / name).write_text("nonsense")
        running.send_signal(signal.SIGHUP)
        running.wait_for("ERROR supervisor reload refused, what was in force stays: ..*(server|ca)")
        assert answers(running, context=context) == ("1", before)


def test_a_new_server_certificate_is_shown_after_a_reload(server, own_state, program):
    with server(HELLO, state=own_state) as running:
        kept = running.connect()
        before = kept.getpeercert(binary_form=True)
        for name in ("server/server.pem", "server/server.key"):
            (own_state / name).unlink()
        done = program.run("init", "--state", own_state, "--host", "localhost")
        assert done.returncode == 0, done.stderr
        running.send_signal(signal.SIGHUP)
        running.wait_for("the new configuration is in force")
        with running.connect() as fresh:
            assert fresh.getpeercert(binary_form=True) != before
        kept.close()


def test_a_client_of_a_ca_that_a_reload_dropped_is_refused(server, own_state, other_state):
    with server(HELLO, state=own_state) as running:
        context = running.ssl_context()
        assert running.request(context=context).status == 200
        (own_state / "ca/ca.pem").write_bytes((other_state / "ca/ca.pem").read_bytes())
        running.send_signal(signal.SIGHUP)
        running.wait_for("the new configuration is in force")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            running.request(context=context)


def test_reloads_under_load_fail_no_request(server):
    with server(WORKER, workers=2) as running, load(running) as failures:
        for number in range(1, 5):
            running.send_signal(signal.SIGHUP)
            running.wait_for("the new workers serve", count=number)
    assert failures == []


def test_signals_to_reload_that_come_close_together_do_no_harm(server):
    with server(WORKER) as running:
        for _ in range(20):
            running.send_signal(signal.SIGHUP)
        running.wait_for("the new workers serve")
        assert answers(running)[0] == "1"
        eventually(lambda: len(running.worker_pids()) == 1, "one worker is left")


def test_a_changed_source_file_restarts_the_workers(server, tmp_path):
    with server(WORKER, reload=True) as running:
        assert answers(running)[0] == "1"
        (tmp_path / "app.py").write_text(WORKER.replace('"1"', '"22"'))
        running.wait_for("a source file has changed")
        reloaded(running)
        assert answers(running)[0] == "22"


# --- the end ---


def test_sigterm_lets_the_running_request_finish(server, tmp_path):
    with server(WORKER) as running:
        results: list = []
        slow = slow_request(running, results)
        running.send_signal(signal.SIGTERM)
        running.wait_for("finishing what runs")
        assert running.process.poll() is None
        (tmp_path / "go-on").touch()
        slow.join(20)
        assert results == [200]
        assert running.wait() == 0


def test_a_request_that_takes_too_long_does_not_hold_up_the_end(server):
    with server(WORKER, graceful_timeout=1) as running:
        results: list = []
        slow = slow_request(running, results)
        begin = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - begin < 10
        slow.join(5)
        assert results and results != [200]


def test_after_sigterm_no_connection_is_accepted(server, tmp_path):
    with server(WORKER) as running:
        slow = slow_request(running, [])
        running.send_signal(signal.SIGTERM)
        running.wait_for("finishing what runs")
        with pytest.raises(OSError):  # refused, reset, or an end during the handshake
            running.request(timeout=3)
        (tmp_path / "go-on").touch()
        slow.join(20)


def test_a_second_ctrl_c_ends_at_once(server):
    with server(WORKER) as running:
        slow_request(running, [])
        running.send_signal(signal.SIGINT)
        running.wait_for("finishing what runs")
        running.send_signal(signal.SIGINT)
        assert running.wait(5) == 0


def test_sigquit_ends_at_once(server):
    with server(WORKER) as running:
        slow_request(running, [])
        pids = [pid for pid, _ in children(running.pid)]
        running.send_signal(signal.SIGQUIT)
        assert running.wait(5) == 0
        assert not any(map(is_running, pids))


def test_ctrl_c_at_a_terminal_lets_the_running_request_finish(server, tmp_path):
    """It goes to the whole process group, front and workers included."""
    with server(WORKER) as running:
        results: list = []
        slow = slow_request(running, results)
        os.killpg(running.pid, signal.SIGINT)
        running.wait_for("finishing what runs")
        (tmp_path / "go-on").touch()
        slow.join(20)
        assert results == [200]
        assert running.wait() == 0


def test_nothing_outlives_a_supervisor_that_is_killed(server):
    with server(WORKER, workers=2) as running:
        slow_request(running, [])
        pids = [pid for pid, _ in children(running.pid)]
        assert len(pids) == 4
        running.process.kill()
        running.process.wait()
        eventually(lambda: not any(map(is_running, pids)), "front, authority and workers are gone")


def test_the_server_ends_when_its_parent_process_does(start):
    ours, theirs = socket.socketpair()
    starting = start(HELLO, parent_fd=theirs.fileno(), pass_fds=(theirs.fileno(),))
    theirs.close()
    ours.settimeout(30)
    assert re.fullmatch(rb"https://127.0.0.1:\d+\n", ours.recv(200))
    ours.close()
    assert starting.wait() == 0
    starting.wait_for("the parent process has ended")


# --- around it ---


def test_the_pid_file_is_there_while_it_runs(server, start, tmp_path):
    with server(HELLO, pid="run.pid") as running:
        assert (tmp_path / "run.pid").read_text() == f"{running.pid}\n"
        second = start(HELLO, pid="run.pid")
        assert second.wait() == 1
        second.wait_for("is running already")
        assert (tmp_path / "run.pid").exists()
        assert running.stop() == 0
    assert not (tmp_path / "run.pid").exists()


def test_ttin_and_ttou_change_the_number_of_workers(server):
    with server(HELLO) as running:
        running.send_signal(signal.SIGTTIN)
        eventually(lambda: len(running.worker_pids()) == 2, "there are two workers")
        running.send_signal(signal.SIGTTOU)
        eventually(lambda: len(running.worker_pids()) == 1, "there is one worker")
        running.send_signal(signal.SIGTTOU)
        assert running.request().status == 200
        assert len(running.worker_pids()) == 1


def test_signals_of_other_servers_do_not_end_it(server):
    with server(HELLO) as running:
        running.send_signal(signal.SIGUSR1)
        running.wait_for("opened anew")
        running.send_signal(signal.SIGUSR2)
        running.wait_for("does nothing here")
        assert running.request().status == 200


def test_workers_see_nothing_of_the_service_manager(server):
    app = "import os\n" + HELLO.replace('b"hello"', "repr(sorted(os.environ)).encode()")
    with server(
        app,
        env={"NOTIFY_SOCKET": "/nowhere/socket", "LISTEN_FDNAMES": "x", "KEPT": "yes"},
    ) as running:
        names = ast.literal_eval(running.request().text)
    assert "KEPT" in names
    assert not {"NOTIFY_SOCKET", "LISTEN_FDNAMES"} & set(names)


def test_variables_can_be_set_for_the_application(server):
    app = "import os\n" + HELLO.replace('b"hello"', 'os.environ["COLOUR"].encode()')
    with server(app, "-e", "COLOUR=light green", env={"COLOUR": "red"}) as running:
        assert running.request().text == "light green"


def test_a_worker_holds_no_descriptor_but_its_lanes(server):
    app = """
import os

FDS = {}
for name in os.listdir("/proc/self/fd"):
    try:
        FDS[int(name)] = os.readlink("/proc/self/fd/" + name)
    except OSError:
        pass  # of the listing itself
""" + HELLO.replace('b"hello"', "repr(FDS).encode()")
    with server(app, threads=3) as running:
        fds = ast.literal_eval(running.request().text)
    assert sorted(n for n, what in fds.items() if what.startswith("socket:")) == [
        3,
        4,
        5,
    ]
    assert fds[0] == "/dev/null"
    assert not [what for what in fds.values() if "memfd" in what or ".key" in what]


@pytest.fixture
def python_of_nobody(program, tmp_path) -> str:
    """An interpreter that another user may run, with the package where that user may read it."""
    if os.geteuid() != 0:
        pytest.skip("only root can change user")
    for folder in [tmp_path, *tmp_path.parents, program.pythonpath or tmp_path]:
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    if program.pythonpath:
        program.pythonpath.parent.chmod(0o755)
    for python in (program.python, Path("/usr/bin/python3")):
        with contextlib.suppress(OSError):
            probe = subprocess.run(
                [python, "-c", "import handclasp.worker"],
                check=False,
                user=65534,
                group=65534,
                extra_groups=[],
                env=program.environment(),
                capture_output=True,
                cwd="/",
            )
            if probe.returncode == 0:
                return str(python)
    pytest.skip("no interpreter with the package that another user may run")


def test_workers_run_as_another_user_who_cannot_read_the_key(server, own_state, python_of_nobody):
    result = (
        "repr((os.getresuid(), os.getresgid(), os.getgroups(), os.access(KEY, os.R_OK))).encode()"
    )
    app = f"import os\nKEY = {str(own_state / 'server/server.key')!r}\n" + HELLO.replace(
        'b"hello"', result
    )
    with server(app, "-u", "nobody", state=own_state, python=python_of_nobody) as running:
        assert "processes=apart" in running.wait_for("listening on")
        for reloads in range(2):
            uids, gids, groups, may_read = ast.literal_eval(running.request().text)
            assert uids == (65534,) * 3
            assert gids == (65534,) * 3
            assert groups == [65534]
            assert not may_read
            running.send_signal(signal.SIGHUP)
            running.wait_for("the new workers serve", count=reloads + 1)
    assert not [line for line in running.log() if "not kept apart" in line]


def test_the_service_manager_is_told_when_it_is_ready_and_when_it_stops(server, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        with server(HELLO, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as running:
            assert manager.recv(100) == b"READY=1"
            assert running.stop() == 0
        assert manager.recv(100) == b"STOPPING=1"


def test_the_service_manager_is_told_when_a_reload_begins_and_ends(server, own_state, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with server(HELLO, state=own_state, env=env) as running:
            assert manager.recv(100) == b"READY=1"
            key = own_state / "server/server.key"
            for outcome, text in [("new workers serve", key.read_text()), ("refused", "broken\n")]:
                key.write_text(text)
                before = time.monotonic_ns() // 1000
                running.send_signal(signal.SIGHUP)
                began = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", manager.recv(100))
                assert before <= int(began[1]) <= time.monotonic_ns() // 1000
                assert manager.recv(100) == b"READY=1"
                running.wait_for(outcome)
            running.stop()
        assert manager.recv(100) == b"STOPPING=1"


def test_reloads_that_overlap_end_once_for_the_service_manager(server, own_state, tmp_path):
    app = "import os, time\nwhile os.path.exists('wait'):\n    time.sleep(0.01)\n" + HELLO
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with server(app, state=own_state, env=env) as running:
            assert manager.recv(100) == b"READY=1"
            (tmp_path / "wait").touch()
            running.send_signal(signal.SIGHUP)
            assert manager.recv(100).startswith(b"RELOADING=1")
            running.wait_for("the new configuration is in force")
            (own_state / "server/server.key").write_text("broken\n")
            running.send_signal(signal.SIGHUP)
            assert manager.recv(100).startswith(b"RELOADING=1")
            running.wait_for("reload refused")
            (tmp_path / "wait").unlink()
            assert manager.recv(100) == b"READY=1"
            running.wait_for("the new workers serve")
            running.stop()
        assert manager.recv(100) == b"STOPPING=1"


def test_a_service_manager_that_watches_hears_of_the_server(server, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with server(HELLO, env=env):
            said = [manager.recv(100) for _ in range(6)]
    assert said.count(b"WATCHDOG=1") >= 5
    assert set(said) <= {b"WATCHDOG=1", b"READY=1"}


def test_sockets_of_the_service_manager_are_served(server):
    hand_over = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""
    with socket.create_server(("127.0.0.1", 0)) as handed_over:
        number = handed_over.fileno()
        prefix = (sys.executable, "-c", hand_over, str(number))
        with server(HELLO, prefix=prefix, pass_fds=(number,)) as running:
            assert running.port == handed_over.getsockname()[1]
            assert running.request().status == 200


def test_a_unix_socket_is_served_and_removed_at_the_end(server, tmp_path):
    with server(HELLO, bind="unix:here.sock") as running:
        assert running.request().status == 200
    assert not (tmp_path / "here.sock").exists()


def test_the_log_goes_to_a_file(start, tmp_path):
    starting = start(HELLO, error_logfile="error.log")
    eventually(
        lambda: (
            (tmp_path / "error.log").exists()
            and "listening on" in (tmp_path / "error.log").read_text()
        ),
        "the log has its line",
    )
    assert starting.stop() == 0
    assert "ended" in (tmp_path / "error.log").read_text()
