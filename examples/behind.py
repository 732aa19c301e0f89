"""What examples/behind-nginx/run and examples/behind-apache/run have in common: a state folder with a CA, a registry
and clients, gunicorn with the application, the terminator with the configuration of its guide, and a clean end."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_S = 20.0


def options(folder: Path, what: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--port", type=int, default=8443, help="of the web server, on 127.0.0.1 [8443]")
    parser.add_argument("--app-port", type=int, default=8000, help="of gunicorn, on 127.0.0.1 [8000]")
    parser.add_argument("--state", type=Path, default=folder / ".handclasp", help="[.handclasp beside this program]")
    given = parser.parse_args()
    given.state = given.state.resolve()
    return given


def find(name: str, package: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if found is None and Path(sys.executable).with_name(name).exists():
        found = str(Path(sys.executable).with_name(name))
    if found is None:
        raise SystemExit(f"{name} is not here: {package}")
    return found


def make_state(state: Path) -> None:
    """A CA, a registry, and two clients; what is there already stays."""
    handclasp = find("handclasp", "make build, or pip install handclasp")
    issue = [[handclasp, "client", "issue", name, *more, "--state", str(state)] for name, *more in CLIENTS]
    new = [] if (state / "registry.db").exists() else issue
    for command in [[handclasp, "init", "--state", str(state), "--host", "localhost"], *new]:
        done = subprocess.run(command, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            raise SystemExit(done.returncode)


CLIENTS = [("alice", "--role", "meter"), ("bob",)]


def configuration(guide: str, block: str, put: dict[str, str]) -> str:
    """A block of a guide, for this machine."""
    text = (ROOT / "docs/guide" / guide).read_text()
    found = re.search(rf"^```{re.escape(block)}\n(.*?)^```$", text, re.M | re.S)
    assert found, f"{guide} has no block {block}"
    configured = found[1]
    for was, now in put.items():
        assert was in configured, f"{guide} does not say {was!r} any more"
        configured = configured.replace(was, now)
    return configured


def serve(given: argparse.Namespace, folder: Path, terminator: Callable[[Path], list[str]]) -> int:
    """Runs both until one of them ends or somebody says so. `terminator` writes its configuration into a folder for
    temporary files and gives the command, which stays in the foreground."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    make_state(given.state)
    gunicorn = [sys.executable, "-m", "gunicorn", "--workers", "2", "--threads", "4", "--log-level", "warning"]
    gunicorn += ["--bind", f"127.0.0.1:{given.app_port}", "--chdir", str(folder), "app:app"]
    with tempfile.TemporaryDirectory(prefix="handclasp-example-") as temporary:
        Path(temporary).chmod(0o755)  # the web server's own user
        try:
            with (
                started(gunicorn, given.app_port, HANDCLASP_STATE=str(given.state)) as app,
                started(terminator(Path(temporary)), given.port) as front,
            ):
                say_hello(given)
                while app.poll() is None and front.poll() is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        front.wait(1)
                print("a server has ended by itself", file=sys.stderr)
                return 1
        except (KeyboardInterrupt, SystemExit) as end:
            if isinstance(end, SystemExit) and end.code:
                raise
    print("ended")
    return 0


@contextlib.contextmanager
def started(command: list[str], port: int, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise SystemExit(f"port {port} is taken: name another one")
    # In a session of its own: ^C is for us, and we end them.
    child = subprocess.Popen(command, env=os.environ | env, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + START_S
        while not listens(port):
            if child.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{Path(command[0]).name} does not start")
            time.sleep(0.02)
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def say_hello(given: argparse.Namespace) -> None:
    state = given.state
    if state.is_relative_to(Path.cwd()):
        state = state.relative_to(Path.cwd())
    curl = f"curl --cacert {state}/ca/ca.pem"
    client = f"--cert {state}/clients/{{0}}.pem --key {state}/clients/{{0}}.key"
    url = f"https://localhost:{given.port}"
    print(f"""
  {curl} {client.format("alice")} {url}/
  {curl} {client.format("alice")} {url}/meter
  {curl} {client.format("bob")} {url}/meter   # has no such role
  {curl} {url}/   # nobody
  {curl} -H 'X-SSL-Client-Cert: forged' {url}/   # nobody

While it runs, and within a second:

  handclasp client role bob +meter --state {state}
  handclasp client revoke alice --state {state}

^C ends it.""")
    sys.stdout.flush()
