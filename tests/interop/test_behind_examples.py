"""The examples behind-nginx and behind-apache as they are: one command, and the lines that it prints."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDED = {"behind-nginx": "nginx", "behind-apache": "apache2"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module", params=NEEDED)
def example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[list[list[str]], Path]]:
    """The curl lines that it prints, and its state folder."""
    server = NEEDED[request.param]
    if shutil.which(server, path=os.environ.get("PATH", "") + ":/usr/sbin") is None:
        pytest.skip(f"NOT TESTED: {server} is not here")
    state = tmp_path_factory.mktemp("example") / "state"
    ports = ["--port", str(free_port()), "--app-port", str(free_port())]
    # The interpreter of this test, with the package that it has.
    child = subprocess.Popen(
        [sys.executable, str(EXAMPLES / request.param / "run"), *ports, "--state", str(state)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"VIRTUAL_ENV": sys.prefix},
        # What a shell starts in the background ignores it, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert child.stdout
    lines = []
    for line in child.stdout:
        lines.append(line.strip())
        if line.startswith("^C"):
            break
    try:
        assert child.poll() is None, "it has ended"
        yield [shlex.split(line, comments=True) for line in lines if line.startswith("curl")], state
    finally:
        child.send_signal(signal.SIGINT)
        rest = child.communicate(timeout=30)[0]
    assert (child.returncode, rest.strip()) == (0, "ended")
    for port in ports[1::2]:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0, f"somebody still listens on {port}"


def curl(line: list[str]) -> str:
    return subprocess.run([*line, "-sS"], capture_output=True, text=True, timeout=30, check=True).stdout


def test_the_lines_that_it_prints_say_who_is_who(example: tuple[list[list[str]], Path]) -> None:
    alice, meter, bob, nobody, forged = map(curl, example[0])
    assert re.fullmatch(r"hello alice, your serial is [0-9a-f]+\n", alice)
    assert meter == "alice is a meter\n"
    assert '"verdict": "refused-by-app"' in bob
    assert '"verdict": "no-certificate"' in nobody and nobody == forged


def test_a_suspended_client_is_out_and_comes_back(example: tuple[list[list[str]], Path]) -> None:
    lines, state = example
    handclasp = shutil.which("handclasp") or str(Path(sys.executable).with_name("handclasp"))
    change = [handclasp, "client", "{}", "alice", "--state", str(state)]
    for how, expected in (("suspend", '"verdict": "suspended"'), ("resume", "hello alice")):
        subprocess.run([part.format(how) for part in change], check=True, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while not all(expected in curl(lines[0]) for _ in range(4)):  # either worker
            assert time.monotonic() < end
