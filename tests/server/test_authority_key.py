"""Started as root: nobody but supervisor and authority gets at the CA's key, on the disk or in memory."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pwd
import re
from pathlib import Path

import pytest
from conftest import children, eventually
from cryptography.hazmat.primitives import serialization
from test_ca_commands import Authority
from test_publish import path_of
from test_users import AUTHORITY, FRONT, WORKER, apart, ask, folder, own_state, python, user_of

__all__ = ["apart", "folder", "own_state", "python"]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change user")


def authority_pid(server) -> int:
    (pid,) = [pid for pid, line in children(server.pid) if line[1:2] == ["authority"]]
    return pid


def secret_of(state: Path) -> bytes:
    """The private number itself, as every copy of an EC key in memory has it."""
    key = serialization.load_pem_private_key((state / "ca/ca.key").read_bytes(), None)
    return key.private_numbers().private_value.to_bytes(32, "big")


def memory_has(pid: int, *forms: bytes) -> bool:
    """As root, who may look everywhere: whether the octets are in a process that can be read."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            begin, end, rights = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
            if not rights.startswith("rw"):
                continue
            try:
                memory.seek(int(begin, 16))
                held = memory.read(int(end, 16) - int(begin, 16))
            except (OSError, ValueError, OverflowError):
                continue
            if any(form in held for form in forms):
                return True
    return False


def as_user(name: str, what) -> str:
    """`what` run as this user, and what it said."""

    def run(pipe) -> None:
        user = pwd.getpwnam(name)
        os.setgroups([])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        try:
            pipe.send(repr(what()))
        except OSError as problem:
            pipe.send(f"refused: {problem.strerror}")

    ours, theirs = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=run, args=(theirs,))
    child.start()
    said = ours.recv() if ours.poll(20) else "nothing"
    child.join(20)
    return said


def attach(pid: int) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, 0, 0) != 0:  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "attached"


@pytest.fixture
def authority(python, own_state) -> Authority:
    return Authority(python, own_state)


def test_the_authority_alone_has_the_key_in_memory(apart, authority):
    if authority.program.sanitizer:
        pytest.skip("a sanitizer's shadow of the memory is too large to be searched")
    with apart(authority_user=AUTHORITY) as server:
        eventually(lambda: server.request(path_of(authority)).status == 200, "the list")
        secret = secret_of(authority.state)
        forms = (secret, secret[::-1])  # OpenSSL's big numbers begin with their last octets
        assert user_of(authority_pid(server)) == (pwd.getpwnam(AUTHORITY).pw_uid,) * 4
        assert memory_has(authority_pid(server), *forms)
        for pid in (server.front_pid(), *server.worker_pids()):
            assert not memory_has(pid, *forms)


@pytest.mark.parametrize("who", [FRONT, WORKER, AUTHORITY])
def test_the_keys_file_is_closed_to_every_process_that_serves(apart, authority, who):
    with apart(authority_user=AUTHORITY) as server:
        assert server.request("/", method="POST", body="1").status == 200
        for name in ("ca/ca.key", "ca"):
            path = authority.state / name
            opened = as_user(who, lambda path=path: os.listdir(path) if path.is_dir() else path.read_bytes())
            assert opened == "refused: Permission denied", name


@pytest.mark.parametrize("who", [FRONT, WORKER])
def test_neither_front_nor_workers_can_look_into_the_authority(apart, authority, who):
    with apart(authority_user=AUTHORITY) as server:
        pid = authority_pid(server)
        eventually(lambda: server.request(path_of(authority)).status == 200, "the list")
        for what in (
            lambda: open(f"/proc/{pid}/mem", "rb").read(1),
            lambda: os.listdir(f"/proc/{pid}/fd"),
            lambda: attach(pid),
        ):
            said = as_user(who, what)
            assert said in ("refused: Permission denied", "refused: Operation not permitted"), said


def test_the_application_itself_cannot_get_at_the_key(apart, authority):
    authority.state.chmod(0o711)
    with apart(authority_user=AUTHORITY) as server:
        pid = authority_pid(server)
        assert ask(server, f"read({str(authority.state / 'ca/ca.key')!r})").startswith("refused")
        assert ask(server, f"ptrace({pid})").startswith("refused")
        assert ask(server, f"write_memory({pid})").startswith("refused")


def test_the_authority_leaves_no_descriptor_of_the_key_open(apart, authority):
    with apart(authority_user=AUTHORITY) as server:
        eventually(lambda: server.request(path_of(authority)).status == 200, "the list")
        links = [os.readlink(path) for path in Path(f"/proc/{authority_pid(server)}/fd").iterdir()]
        assert not [link for link in links if "ca.key" in link or "handclasp-config" in link], links
        for pid in (server.front_pid(), *server.worker_pids()):
            links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
            assert not [link for link in links if "ca.key" in link], links


def test_another_users_authority_publishes_what_the_operator_revokes(apart, authority):
    with apart(authority_user=AUTHORITY) as server:
        eventually(lambda: server.request(path_of(authority)).status == 200, "the list")
        before = server.request(path_of(authority)).body
        authority.do("revoke", "bob")
        eventually(lambda: server.request(path_of(authority)).body != before, "the next list", 5)
