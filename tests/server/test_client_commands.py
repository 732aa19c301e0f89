"""`handclasp client …` and `handclasp audit`: what they change, what they say, and that they change all or nothing."""

from __future__ import annotations

import json
import os
import re
import resource
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509


class Clients:
    """The commands on one state folder."""

    def __init__(self, program, state: Path) -> None:
        self.program = program
        self.state = state

    def run(self, *args: object, command: str = "client", **options) -> subprocess.CompletedProcess[str]:
        words = [command] if command else []
        return self.program.run(*words, *args, "--state", self.state, **options)

    def do(self, *args: object) -> str:
        done = self.run(*args)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *args: object) -> dict:
        return json.loads(self.do(*args, "--json"))

    def show(self, who: str) -> dict:
        return self.json("show", who)

    def names(self, *filters: object) -> list[str]:
        return [client["name"] for client in self.json("list", *filters)["clients"]]

    def audit(self, *filters: object) -> list[dict]:
        done = self.run(*filters, "--json", command="audit")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def refuse(self, *args: object, code: int = 1) -> str:
        """The one line that says why not; nothing was changed."""
        before = self.audit("--limit", 1)
        done = self.run(*args)
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1, done.stderr
        assert self.audit("--limit", 1) == before
        return done.stderr

    def certificate(self, stem: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.state / f"clients/{stem}.pem").read_bytes())

    def sql(self, text: str, *values: object) -> list[tuple]:
        with sqlite3.connect(self.state / "registry.db") as db:
            return db.execute(text, values).fetchall()


@pytest.fixture
def clients(program, tmp_path) -> Clients:
    found = Clients(program, tmp_path / "s")
    assert program.run("init", "--state", found.state, "--client", "alice").returncode == 0
    return found


# --- issue ---


def test_a_certificate_is_issued_with_its_record(clients):
    clients.do("issue", "bob", "--role", "staff", "--role", "meter", "--attribute", "site=hall=2", "--days", "30")
    bob = clients.show("bob")
    assert bob["status"] == "active"
    assert bob["roles"] == ["meter", "staff"]
    assert bob["attributes"] == {"site": "hall=2"}
    (on_record,) = bob["certificates"]
    certificate = clients.certificate("bob")
    assert int(on_record["serial"]["hex"], 16) == int(on_record["serial"]["decimal"]) == certificate.serial_number
    assert on_record["subject"] == "CN=bob"
    assert on_record["origin"] == "issued"
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert 30 <= lifetime.total_seconds() / 86400 < 30.1
    assert (clients.state / "clients/bob.key").stat().st_mode & 0o777 == 0o600


def test_issued_again_nothing_is_made_unless_another_is_asked_for(clients):
    first = clients.certificate("alice").serial_number
    assert "alice has a certificate already" in clients.do("issue", "alice")
    assert clients.json("issue", "alice")["made"] == []
    assert len(clients.show("alice")["certificates"]) == 1
    assert clients.json("issue", "alice", "--another")["made"] == ["clients/alice-2.key", "clients/alice-2.pem"]
    assert clients.certificate("alice").serial_number == first
    assert len(clients.show("alice")["certificates"]) == 2


def test_a_revoked_certificate_is_followed_by_another_without_asking(clients):
    clients.do("revoke", f"{clients.certificate('alice').serial_number:x}")
    assert clients.json("issue", "alice")["made"] == ["clients/alice-2.key", "clients/alice-2.pem"]
    assert [c["status"] for c in clients.show("alice")["certificates"]] == ["revoked", "active"]


@pytest.mark.parametrize("status", ["suspend", "revoke"])
def test_nothing_is_issued_for_a_record_that_is_not_active(clients, status):
    clients.do(status, "alice")
    assert "client resume" in clients.refuse("issue", "alice", "--another")


def test_the_name_of_a_second_certificate_may_be_taken_by_another_client(clients):
    clients.do("issue", "alice-2")
    assert clients.json("issue", "alice", "--another")["made"] == ["clients/alice-3.key", "clients/alice-3.pem"]
    assert len(clients.show("alice-2")["certificates"]) == 1
    done = clients.program.run("init", "--state", clients.state, "--client", "alice-3")
    assert done.returncode == 1
    assert "is a certificate of alice" in done.stderr


def test_without_the_cas_key_nothing_is_issued_and_nothing_recorded(clients):
    (clients.state / "ca/ca.key").rename(clients.state / "away.key")
    assert "put" in clients.refuse("issue", "bob")
    assert clients.names() == ["alice"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a\x1b[31m", "x" * 65, ".x"])
def test_a_name_that_is_no_file_name_is_wrong_usage(clients, name):
    done = clients.run("issue", f"--state={clients.state}", "--", name)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr


def test_a_row_that_says_nothing_of_days_is_refused(clients):
    assert "--days" in clients.refuse("issue", "bob", "--days", "0", code=2)


# --- without a registry ---


def test_a_folder_without_a_registry_stays_so_and_says_what_to_do(clients):
    (clients.state / "handclasp.yaml").write_text("registry: none\n")
    (clients.state / "registry.db").unlink()
    assert clients.program.run("init", "--state", clients.state, "--client", "bob").returncode == 0
    assert not (clients.state / "registry.db").exists()
    for command in (["list"], ["issue", "carol"], ["show", "alice"]):
        done = clients.run(*command)
        assert done.returncode == 1
        assert "has no registry; write `registry: sqlite:registry.db`" in done.stderr
    # What it said to do works; those that are there are imported.
    (clients.state / "handclasp.yaml").write_text("registry: sqlite:registry.db\n")
    done = clients.program.run("init", "--state", clients.state, "--client", "alice")
    assert "alice.pem is not on record, so it is not let in; `handclasp client import`" in done.stdout
    clients.do("import", clients.state / "clients")
    assert sorted(clients.names()) == ["alice", "bob"]


def test_the_registry_is_that_of_the_servers_options_or_of_the_flag(clients, tmp_path):
    (clients.state / "registry.db").rename(tmp_path / "elsewhere.db")
    assert clients.run("list").returncode == 1
    assert clients.names("--registry", f"sqlite:{tmp_path}/elsewhere.db") == ["alice"]
    (clients.state / "handclasp.yaml").write_text(f"registry: sqlite:{tmp_path}/elsewhere.db\n")
    assert clients.names() == ["alice"]


# --- list, show, audit ---


def test_a_list_goes_by_pages_until_none_is_left(clients):
    for name in ("bob", "carol", "dave", "eve"):
        clients.do("issue", name)
    seen, after = [], 0
    while after is not None:
        page = clients.json("list", "--limit", 2, "--after", after)
        seen += [client["name"] for client in page["clients"]]
        after = page["next"]
    assert seen == ["alice", "bob", "carol", "dave", "eve"]
    text = clients.do("list", "--limit", 2)
    assert re.search(r"^more: --after \d+$", text, re.M)
    assert [line.split()[0] for line in text.splitlines()[1:3]] == ["alice", "bob"]


def test_a_list_is_filtered_by_every_filter_given(clients):
    clients.do("issue", "bob", "--role", "staff", "--days", "10")
    clients.do("issue", "carol", "--role", "staff")
    clients.do("suspend", "carol")
    assert clients.names("--role", "staff") == ["bob", "carol"]
    assert clients.names("--role", "staf") == []
    assert clients.names("--role", "staff", "--status", "active") == ["bob"]
    assert clients.names("--expiring", "30d") == ["bob"]
    assert clients.names("--expiring", "5d") == []
    assert clients.names("--search", "o") == ["bob", "carol"]
    clients.sql("UPDATE client SET created_s = created_s - 100 * 86400 WHERE name = 'bob'")
    assert clients.names("--unused", "90d") == ["bob"]


def test_show_finds_a_client_by_name_serial_and_fingerprint(clients):
    certificate = clients.certificate("alice")
    fingerprint = clients.show("alice")["certificates"][0]["fingerprint_sha256"]
    colons = ":".join(fingerprint[i : i + 2] for i in range(0, 64, 2)).upper()
    for word in (f"{certificate.serial_number:x}", fingerprint, colons, "name:alice", f"sha256:{fingerprint}"):
        assert clients.show(word)["name"] == "alice"
    assert "by this" in clients.refuse("show", "nobody")
    assert clients.refuse("show", "sha256:alice")


def test_names_in_other_scripts_stay_readable_and_nothing_can_forge_a_line(clients):
    clients.do("issue", "Jürgen 山田")
    clients.do("suspend", "Jürgen 山田", "--comment", "weg")
    for hostile in ("a\x1b[2Jb\nforged line", "x\u202ey"):
        clients.sql("INSERT INTO client (name, status, status_s, reason, roles, attributes, created_s) "
                    "VALUES (?, 1, 1, '', '', '', 1)", hostile)
    text = clients.do("list")
    assert re.search(r"^Jürgen 山田 +suspended ", text, re.M)
    assert "\x1b" not in text and "\u202e" not in text
    assert "\nforged" not in text
    assert "x\u202ey" in clients.names()


def test_the_audit_says_who_did_what_from_what_to_what(clients):
    clients.do("suspend", "alice", "--comment", "on leave")
    (row,) = clients.audit("--limit", 1)
    assert row["action"] == "client.status"
    assert row["who"].startswith(f"uid {os.getuid()}")
    assert row["was"]["status"] == "active"
    assert row["now"] == {"status": "suspended", "reason": "on leave"}
    assert [r["action"] for r in clients.audit("--client", "alice")] == [
        "client.status", "certificate.add", "client.add"]
    assert clients.audit("--client", "bob") == []
    assert len(clients.audit("--action", "client.add")) == 1
    assert clients.audit("--since", "2100-01-01") == []
    assert len(clients.audit("--since", "1h")) == 3
    today = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
    assert len(clients.audit("--since", today)) == 3
    text = clients.run(command="audit").stdout
    assert re.search(r'^\S+Z  uid .*client\.status  alice  \{.*"active".*\} -> \{.*"suspended"', text, re.M)
    assert clients.run("--since", "tomorrow", command="audit").returncode == 2


def test_pages_of_the_audit_follow_on_each_other(clients):
    for _ in range(3):
        clients.do("suspend", "alice")
        clients.do("resume", "alice")
    every = [row["seq"] for row in clients.audit()]
    assert every == sorted(every, reverse=True)
    pages = clients.audit("--limit", 3)
    pages += clients.audit("--limit", 100, "--before", pages[-1]["seq"])
    assert [row["seq"] for row in pages] == every


def test_a_page_of_the_audit_says_how_the_next_is_asked_for(clients):
    lines = clients.run(command="audit").stdout.splitlines()
    assert len(lines) == 2
    first = clients.run("--limit", 1, command="audit").stdout.splitlines()
    assert first == [lines[0], "more: --before 2"]
    assert clients.run("--limit", 1, *first[1].split()[1:], command="audit").stdout.splitlines() == lines[1:]
    assert "more" not in clients.run("--limit", 2, command="audit").stdout


# --- suspend, resume, revoke ---


def test_suspended_resumed_and_revoked(clients):
    assert clients.do("suspend", "alice") == "alice: active -> suspended\n"
    assert clients.do("suspend", "alice") == "alice: stays suspended\n"
    assert clients.do("resume", "alice") == "alice: suspended -> active\n"
    assert clients.do("revoke", "alice", "--reason", "key-compromise") == "alice: active -> revoked\n"
    alice = clients.show("alice")
    assert alice["certificates"][0]["status"] == "revoked"
    assert alice["certificates"][0]["reason"] == "keyCompromise"
    assert clients.do("resume", "alice") == "alice: revoked -> active\n"
    assert clients.show("alice")["certificates"][0]["status"] == "revoked"


def test_a_serial_revokes_that_certificate_alone(clients):
    clients.do("issue", "alice", "--another")
    serial = clients.certificate("alice-2").serial_number
    assert clients.do("revoke", f"{serial:X}") == f"alice, certificate {serial:x}: active -> revoked\n"
    alice = clients.show("alice")
    assert alice["status"] == "active"
    assert [c["status"] for c in alice["certificates"]] == ["active", "revoked"]


def test_a_serial_suspends_the_client_who_has_it(clients):
    clients.do("suspend", f"{clients.certificate('alice').serial_number}")
    assert clients.show("alice")["status"] == "suspended"


def test_a_reason_that_is_none_is_wrong_usage(clients):
    assert "keyCompromise" in clients.refuse("revoke", "alice", "--reason", "stolen", code=2)
    assert "keyCompromise" in clients.refuse("revoke", "alice", "--reason", "removeFromCRL", code=2)


def test_one_wrong_word_and_nobody_is_revoked(clients, tmp_path):
    clients.do("issue", "bob")
    assert "nobody" in clients.refuse("revoke", "alice", "nobody", "bob")
    (tmp_path / "stolen").write_text("# a list\nalice\n\n  bob  \r\nnobody\n")
    assert "stolen:5: " in clients.refuse("revoke", "--from", tmp_path / "stolen")
    assert clients.names("--status", "active") == ["alice", "bob"]
    (tmp_path / "stolen").write_text("# a list\nalice\n\n  bob  \r\n")
    clients.do("revoke", "--from", tmp_path / "stolen")
    assert clients.names("--status", "revoked") == ["alice", "bob"]


def test_a_dry_run_says_the_same_and_changes_nothing(clients):
    clients.do("issue", "bob", "--role", "guest")
    before = clients.audit()
    said = clients.json("suspend", "--role", "guest", "--dry-run")
    assert said["dry_run"] is True
    assert [(c["client"], c["was"], c["now"]) for c in said["clients"]] == [("bob", "active", "suspended")]
    for command in (["revoke", "alice"], ["role", "alice", "+x"], ["attribute", "alice", "a=b"], ["remove", "alice"]):
        assert "nothing was changed: this was a dry run" in clients.do(*command, "--dry-run")
    assert clients.audit() == before
    clients.do("suspend", "--role", "guest")
    assert clients.names("--status", "suspended") == ["bob"]


@pytest.mark.parametrize(
    "args", [[], ["alice", "--role", "x"], ["alice", "--from", "f"], ["--from", "f", "--role", "x"]]
)
def test_whom_is_said_in_one_way(clients, args):
    assert "whom?" in clients.refuse("suspend", *args, code=2)


def test_a_word_that_means_two_things_lists_both_and_does_nothing(clients):
    serial = f"{clients.certificate('alice').serial_number:x}"
    clients.do("issue", serial)  # a client whose name is alice's serial
    said = clients.refuse("revoke", serial)
    assert f"certificate {serial} of alice" in said
    assert "serial:" in said or "name:" in said
    clients.do("revoke", f"serial:{serial}")
    assert clients.show(f"name:{serial}")["status"] == "active"
    assert clients.show("alice")["certificates"][0]["status"] == "revoked"


def test_a_filter_leaves_revoked_clients_as_they_are(clients):
    for name in ["bob", "carol"]:
        clients.do("issue", name)
    clients.do("role", "alice", "bob", "carol", "+staff")
    clients.do("revoke", "bob")
    assert clients.do("suspend", "--role", "staff") == "alice: active -> suspended\ncarol: active -> suspended\n"
    assert clients.do("resume", "--role", "staff") == "alice: suspended -> active\ncarol: suspended -> active\n"
    assert clients.show("bob")["status"] == "revoked"
    assert "bob is revoked, which is more than suspended" in clients.refuse("suspend", "alice", "bob")
    assert clients.do("resume", "--role", "staff", "--status", "revoked") == "bob: revoked -> active\n"


def test_a_file_of_words_may_come_from_a_windows_editor(clients, tmp_path):
    file = tmp_path / "lost.txt"
    file.write_bytes(b"\xef\xbb\xbfalice\r\n\r\n# all\r\n")
    assert clients.do("suspend", "--from", file) == "alice: active -> suspended\n"


# --- role, attribute ---


def test_roles_are_given_taken_and_set(clients):
    assert clients.do("role", "alice", "+staff", "+meter") == "alice:  -> meter staff\n"
    clients.do("role", "alice", "-meter", "--add", "night", "--remove=absent")
    assert clients.show("alice")["roles"] == ["night", "staff"]
    clients.do("role", "alice", "--set", "guest")
    assert clients.show("alice")["roles"] == ["guest"]
    assert clients.do("role", "alice", "+guest") == "alice: stays guest\n"
    clients.do("role", "alice", "--none")
    assert clients.show("alice")["roles"] == []


def test_a_role_that_is_none_changes_nothing(clients):
    for role in ("+a b", "+" + "x" * 65, "+ü", "+a\nb"):
        clients.refuse("role", "alice", role, code=2)
    assert "which role" in clients.refuse("role", "alice", code=2)
    clients.refuse("role", "alice", "--set", "a", "+b", code=2)
    clients.refuse("role", "alice", *[f"+r{i}" for i in range(65)], code=2)


def test_attributes_are_texts_or_json(clients):
    clients.do("attribute", "alice", "site=hall-2", "empty=", "--json-set", 'limits={"kwh": 40, "at": [1]}')
    assert clients.show("alice")["attributes"] == {"site": "hall-2", "empty": "", "limits": {"kwh": 40, "at": [1]}}
    clients.do("attribute", "alice", "--unset", "limits", "--unset", "absent", "site=3")
    assert clients.show("alice")["attributes"] == {"site": "3", "empty": ""}
    assert clients.do("attribute", "alice", "site=3").startswith("alice: stays ")


def test_an_attribute_that_is_none_changes_nothing(clients):
    for args in (["novalue"], ["=x"], ["--json-set", "a={"], ["--json-set", 'a={"x":1,"x":2}'], []):
        clients.refuse("attribute", "alice", *args, code=2)
    clients.refuse("attribute", "alice", "big=" + "x" * 20000, code=2)


# --- remove, export ---


def test_removed_only_when_meant_and_the_audit_stays(clients):
    assert "--yes removes it" in clients.refuse("remove", "alice", code=2)
    assert clients.do("remove", "alice", "--yes") == "alice: active -> gone\n"
    assert clients.names() == []
    assert clients.audit("--client", "alice")[0]["action"] == "client.remove"
    explained = clients.run("explain", clients.state / "clients/alice.pem", command="")
    assert explained.returncode == 1
    assert "would be refused: not-in-registry" in explained.stdout


@pytest.mark.parametrize("unknown", ["refuse", "admit"])
def test_a_revoked_certificate_that_is_still_valid_cannot_be_forgotten(clients, unknown):
    with (clients.state / "handclasp.yaml").open("a") as config:
        config.write(f"unknown: {unknown}\n")
    clients.do("issue", "bob")
    clients.do("revoke", "alice")
    assert "nobody would know that it is revoked; keep it" in clients.refuse("remove", "alice", "bob", "--yes")
    clients.do("remove", "bob", "--yes")
    clients.sql("UPDATE certificate SET not_after_s = 1")
    clients.do("remove", "alice", "--yes")


def test_the_help_of_remove_says_what_it_refuses(clients):
    said = " ".join(clients.do("remove", "--help").split())
    assert "A client with a revoked certificate that is still valid" in said


def test_export_writes_the_certificates_that_are_kept(clients):
    clients.do("issue", "alice", "--another")
    both = x509.load_pem_x509_certificates(clients.do("export", "alice").encode())
    assert both == [clients.certificate("alice"), clients.certificate("alice-2")]
    clients.do("revoke", f"{both[0].serial_number:x}")
    assert x509.load_pem_x509_certificates(clients.do("export", "alice").encode()) == both[1:]
    assert x509.load_pem_x509_certificates(clients.do("export", "alice", "--all").encode()) == both
    assert x509.load_pem_x509_certificate(clients.do("export", f"{both[0].serial_number:x}").encode()) == both[0]
    clients.do("revoke", "alice")
    assert "kept here" in clients.refuse("export", "alice")


# --- explain ---


def test_explain_says_what_the_record_makes_of_it(clients):
    pem = clients.state / "clients/alice.pem"

    def explained() -> dict:
        return json.loads(clients.run("explain", pem, "--json", command="").stdout)

    clients.do("role", "alice", "+staff")
    said = explained()
    assert (said["verdict"], said["client"]) == ("ok", {"name": "alice", "roles": ["staff"]})
    assert said["rules"][-1]["rule"] == "record"
    assert said["rules"][-1]["outcome"] == "yes"
    clients.do("suspend", "alice")
    assert explained()["verdict"] == "suspended"
    clients.do("resume", "alice")
    clients.do("revoke", f"{clients.certificate('alice').serial_number:x}", "--reason", "keyCompromise")
    said = explained()
    assert said["verdict"] == "revoked"
    assert "keyCompromise" in said["detail"]
    assert said["client"] is None
    (clients.state / "registry.db").unlink()
    assert explained()["verdict"] == "registry-unavailable"
    (clients.state / "handclasp.yaml").write_text("registry: none\n")
    said = explained()
    assert (said["verdict"], said["rules"][-1]["outcome"]) == ("ok", "not-checked")


# --- when the database is not as it should be ---


def test_twenty_at_once_lose_nothing(clients):
    def one(n: int) -> subprocess.CompletedProcess[str]:
        if n % 2:
            return clients.run("issue", f"c{n}", "--role", "r")
        return clients.run("role", "alice", f"+r{n}")

    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(one, range(20)))
    assert [d.returncode for d in done] == [0] * 20, [d.stderr for d in done]
    assert sorted(clients.names()) == sorted(["alice", *(f"c{n}" for n in range(1, 20, 2))])
    assert clients.show("alice")["roles"] == sorted(f"r{n}" for n in range(0, 20, 2))
    seqs = [row["seq"] for row in clients.audit("--limit", 1000)]
    assert seqs == list(range(len(seqs), 0, -1))


def test_a_database_of_a_newer_version_is_left_alone(clients):
    clients.sql("PRAGMA user_version = 9999")
    before = (clients.state / "registry.db").read_bytes()
    for command in (["list"], ["suspend", "alice"], ["issue", "bob"]):
        done = clients.run(*command)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "newer" in done.stderr
    assert clients.program.run("init", "--state", clients.state).returncode == 1
    assert (clients.state / "registry.db").read_bytes() == before


def test_a_file_that_is_no_registry_is_one_line(clients):
    (clients.state / "registry.db").write_bytes(b"this is no database at all, by any means" * 100)
    done = clients.run("list")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_a_database_that_is_locked_for_long_is_one_line(clients):
    with sqlite3.connect(clients.state / "registry.db", isolation_level=None) as db:
        db.execute("BEGIN EXCLUSIVE")
        done = clients.run("suspend", "alice")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "lock" in done.stderr or "busy" in done.stderr
    assert clients.show("alice")["status"] == "active"


def test_who_only_reads_waits_no_longer_for_a_lock(clients):
    began = time.monotonic()
    with sqlite3.connect(clients.state / "registry.db", isolation_level=None) as db:
        db.execute("BEGIN EXCLUSIVE")
        done = clients.run("list")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert time.monotonic() - began < 15


def test_a_limit_on_the_size_of_files_is_one_line(clients):
    before = clients.names()
    limit = (resource.RLIMIT_FSIZE, (1024, 1024))
    for command in (["issue", "bob"], ["role", "alice", "+r"]):
        done = clients.run(*command, preexec_fn=lambda: resource.setrlimit(*limit))
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert clients.names() == before
    assert clients.show("alice")["roles"] == []


def test_init_says_that_it_made_a_registry_of_an_empty_file(clients):
    (clients.state / "registry.db").write_bytes(b"")
    assert "is empty" in clients.run("list").stderr
    done = clients.program.run("init", "--state", clients.state.name, cwd=clients.state.parent)
    assert f"made    {clients.state.name}/registry.db\n" in done.stdout


def test_a_full_disk_changes_nothing(clients):
    """By a limit on file sizes: each write fails at once, as on a full disk."""
    import resource
    import signal

    size = (clients.state / "registry.db").stat().st_size

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 8, size // 8))

    for command in (["suspend", "alice"], ["issue", "bob"], ["attribute", "alice", "x=" + "y" * 15000]):
        done = clients.run(*command, preexec_fn=limit)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
    assert clients.sql("PRAGMA integrity_check") == [("ok",)]
    assert clients.show("alice")["status"] == "active"
    clients.do("issue", "bob")
    assert len(clients.show("bob")["certificates"]) == 1


def test_errors_are_json_where_that_was_asked_for(clients):
    done = clients.run("show", "nobody", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == "not-found"
    done = clients.run("suspend", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["code"] == "invalid-argument"


def test_an_error_is_one_harmless_line_and_json_whatever_it_quotes(clients):
    for word in ["a\n\x1b[2J.csv", "\u202egpj.exe", "a\udcff.csv"]:
        said = clients.refuse("import", word)
        assert "does not exist" in said
        assert said.isascii(), said
        done = clients.run("import", word, "--json")
        assert done.returncode == 1
        assert "does not exist" in json.loads(done.stdout)["error"]
    done = clients.run("attribute", "alice", "k=\udcff", "--json")
    assert "not UTF-8" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "json"])
def test_an_answer_that_cannot_be_written_is_said(clients, more):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [clients.program.binary, "client", "list", "--state", clients.state, *more],
            check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "handclasp: the answer cannot be written: No space left on device\n"


def test_an_action_that_there_is_not_is_wrong_usage(clients):
    for action in sorted({row["action"] for row in clients.audit()}):
        assert {row["action"] for row in clients.audit("--action", action)} == {action}
    done = clients.run("--action", "client.revoke", command="audit")
    assert done.returncode == 2
    assert '"client.revoke" is none of client.add, ' in done.stderr
