"""SIGKILL at any moment of any command that writes records: the database opens, is whole and agrees with its audit,
and the same command run again has the outcome that it would have had alone."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from test_client_commands import Clients
from test_client_import import certificate, pem

# In all: hundreds where there is time for them. HANDCLASP_KILLS says another number.
KILLS = int(os.environ.get("HANDCLASP_KILLS", "330" if os.environ.get("CI") else "110"))


@pytest.fixture(scope="module")
def seed(program, tmp_path_factory) -> Path:
    """A state folder with two clients and what the import is to take."""
    folder = tmp_path_factory.mktemp("kills")
    state = folder / "s"
    done = program.run("init", "--state", state, "--client", "alice", "--client", "bob")
    assert done.returncode == 0, done.stderr
    (folder / "m.csv").write_text("name,serial_hex\n" + "".join(f"meter-{n},{n:x}f\n" for n in range(1, 60)))
    (folder / "certs.pem").write_bytes(pem(*(certificate(f"device-{n}") for n in range(5))))
    return folder


def assert_consistent(clients: Clients) -> None:
    """Whole, and every row of the audit agrees with the tables: replayed, it makes the records that are there."""
    assert clients.sql("PRAGMA integrity_check") == [("ok",)]
    assert clients.sql("PRAGMA foreign_key_check") == []
    audit = clients.audit("--limit", 100000)[::-1]
    assert [row["seq"] for row in audit] == list(range(1, len(audit) + 1))
    status: dict[str, str] = {}
    roles: dict[str, list[str]] = {}
    certificates: dict[str, int] = {}
    for row in audit:
        name, now = row["client"], row["now"]
        match row["action"]:
            case "client.add":
                status[name], roles[name], certificates[name] = now["status"], now["roles"], 0
            case "client.status":
                status[name] = now["status"]
            case "client.roles":
                roles[name] = now["roles"]
            case "client.remove":
                del status[name], roles[name], certificates[name]
            case "certificate.add":
                certificates[name] += 1
    there = clients.json("list", "--limit", 10000)["clients"]
    assert {c["name"]: c["status"] for c in there} == status
    assert {c["name"]: c["roles"] for c in there} == roles
    assert {c["name"]: c["certificates"] for c in there} == certificates


def assert_files_on_record(clients: Clients) -> None:
    """No certificate without its row, whatever was killed when."""
    for path in (clients.state / "clients").glob("*.pem"):
        found = x509.load_pem_x509_certificate(path.read_bytes())
        fingerprint = found.fingerprint(hashes.SHA256()).hex()
        rows = clients.sql("SELECT id FROM certificate WHERE hex(sha256) = ?", fingerprint.upper())
        assert len(rows) == 1, path


def one_certificate(name: str) -> Callable[[Clients], None]:
    def check(clients: Clients) -> None:
        (row,) = clients.show(name)["certificates"]
        assert f"{clients.certificate(name).serial_number:x}" == row["serial"]["hex"]
        keys = sorted(path.name for path in (clients.state / "clients").glob(f"{name}*"))
        assert keys == [f"{name}.key", f"{name}.pem"]

    return check


def shows(who: str, member: str, value: object) -> Callable[[Clients], None]:
    def check(clients: Clients) -> None:
        assert clients.show(who)[member] == value

    return check


def has_clients(prefix: str, count: int) -> Callable[[Clients], None]:
    def check(clients: Clients) -> None:
        assert len(clients.names("--search", prefix, "--limit", 1000)) == count

    return check


def is_gone(name: str) -> Callable[[Clients], None]:
    def check(clients: Clients) -> None:
        assert name not in clients.names()

    return check


COMMANDS: dict[str, tuple[list[str], Callable[[Clients], None]]] = {
    "issue": (["client", "issue", "carol", "--role", "staff", "--attribute", "a=b"], one_certificate("carol")),
    "init": (["init", "--client", "carol"], one_certificate("carol")),
    "init anew": (["init", "--client", "carol"], one_certificate("carol")),
    "suspend": (["client", "suspend", "alice", "bob"], shows("bob", "status", "suspended")),
    "resume": (["client", "resume", "bob"], shows("bob", "status", "active")),
    "revoke": (["client", "revoke", "alice", "--reason", "keyCompromise"], shows("alice", "status", "revoked")),
    "role": (["client", "role", "bob", "+x", "+y"], shows("bob", "roles", ["x", "y"])),
    "attribute": (["client", "attribute", "bob", "k=v"], shows("bob", "attributes", {"k": "v"})),
    "import csv": (["client", "import", "--issuer", "{state}/ca/ca.pem", "{seed}/m.csv"], has_clients("meter-", 59)),
    "import pem": (["client", "import", "{seed}/certs.pem"], has_clients("device-", 5)),
    "remove": (["client", "remove", "alice", "--yes"], is_gone("alice")),
}


class Kills:
    """Kills of a command at random moments of its life, whose length on this machine is learnt as they fall."""

    def __init__(self, program, chance: random.Random) -> None:
        self.program, self.chance = program, chance
        self.life_s = 0.05
        self.tried = self.within = 0

    def strike(self, words: list[str]) -> None:
        process = subprocess.Popen(
            [self.program.binary, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.program.environment(),
        )
        time.sleep(self.chance.uniform(0, self.life_s))  # not to wait for something: the moment is what is varied
        alive = process.poll() is None
        process.kill()
        process.wait()
        self.life_s *= 1.25 if alive else 1 / 1.5  # at rest where about two of three fall within
        self.tried += 1
        self.within += alive

    def assert_most_fell_within(self) -> None:
        assert self.within >= self.tried // 4, f"{self.within} of {self.tried} kills fell within the command"


@pytest.mark.parametrize("what", COMMANDS)
def test_killed_at_any_moment_the_records_are_whole_and_the_next_run_completes_it(program, seed, tmp_path, what):
    words, outcome = COMMANDS[what]
    chance = random.Random(what)
    turns = max(1, KILLS // len(COMMANDS))
    kills = Kills(program, chance)
    states = set()

    def fresh(n: int) -> tuple[Clients, list[str]]:
        state = tmp_path / f"s{n}"
        if what != "init anew":
            shutil.copytree(seed / "s", state)
        return Clients(program, state), [w.format(state=state, seed=seed) for w in words] + ["--state", str(state)]

    for turn in range(turns):
        clients, line = fresh(turn)
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            kills.strike(line)
        if (clients.state / "registry.db").exists() and (clients.state / "handclasp.yaml").exists():
            listed = clients.run("list", "--json")
            if listed.returncode == 0:
                states.add(len(clients.sql("SELECT seq FROM audit")))
                assert_consistent(clients)
                if what != "remove":
                    assert_files_on_record(clients)
            else:  # init was killed before it had made the tables
                assert what == "init anew", listed.stderr
        done = program.run(*line)
        if done.returncode != 0:  # what it was to do may be done: a client that is gone is gone
            assert what == "remove" and "no client" in done.stderr, done.stderr
        outcome(clients)
        assert_consistent(clients)
        if what != "remove":  # which leaves the files
            assert_files_on_record(clients)
        assert not list(clients.state.rglob("*.new"))
    kills.assert_most_fell_within()


def test_killed_while_twenty_write_nothing_is_lost(program, seed, tmp_path):
    """Whoever exits with 0 has written; whoever was killed has written all of it or nothing."""
    shutil.copytree(seed / "s", tmp_path / "s")
    clients = Clients(program, tmp_path / "s")
    chance = random.Random(3)
    running = [
        subprocess.Popen(
            [program.binary, "client", "role", "alice", f"+r{n}", "--state", clients.state],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=program.environment(),
        )
        for n in range(20)
    ]
    time.sleep(chance.uniform(0.02, 0.06))
    for n in range(0, 20, 3):
        running[n].kill()
    said = [process.communicate(timeout=60)[1] for process in running]
    for n, process in enumerate(running):
        assert process.returncode in ((0, -9) if n % 3 == 0 else (0,)), said[n]
    roles = clients.show("alice")["roles"]
    assert {f"r{n}" for n, process in enumerate(running) if process.returncode == 0} <= set(roles)
    assert_consistent(clients)


def test_a_hot_journal_is_rolled_back_by_whoever_comes_next(program, seed, tmp_path):
    """A process that died between writing pages and its commit leaves a journal behind: as after a power cut."""
    shutil.copytree(seed / "s", tmp_path / "s")
    clients = Clients(program, tmp_path / "s")
    database = clients.state / "registry.db"
    child = os.fork()
    if child == 0:
        db = sqlite3.connect(database, isolation_level=None)
        db.execute("PRAGMA cache_size = 1")
        db.execute("PRAGMA journal_mode = TRUNCATE")
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE client SET name = name || hex(zeroblob(200))")
        for n in range(400):
            db.execute(
                "INSERT INTO client (name, status, status_s, reason, roles, attributes, created_s)"
                " VALUES (?, 1, 1, '', '', '', 1)",
                (f"ghost-{n}" * 5,),
            )
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert (clients.state / "registry.db-journal").stat().st_size > 0
    assert clients.names() == ["alice", "bob"]
    clients.do("suspend", "alice")
    assert_consistent(clients)
