"""`handclasp init`: what it makes, what it leaves alone, and that nothing that ends it early leaves a broken state."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

KILLS = 200


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def openssl(*args: object) -> str:
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_pair(folder: Path, stem: str) -> None:
    """The certificate is over the key."""
    of_cert = openssl("x509", "-in", folder / f"{stem}.pem", "-noout", "-pubkey")
    of_key = openssl("pkey", "-in", folder / f"{stem}.key", "-pubout")
    assert of_cert == of_key


def records(program, folder: Path) -> list[dict]:
    """The clients on record, each with as many certificates as clients/ has of it."""
    listed = program.run("client", "list", "--json", "--limit", 1000, "--state", folder)
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout)["clients"]
    assert all(client["certificates"] == 1 for client in found)
    return sorted(found, key=lambda client: client["name"])


def assert_whole(folder: Path, *clients: str) -> None:
    """By OpenSSL's own command: every pair matches, every chain verifies, strictly."""
    for stem in ("ca/ca", "server/server", *(f"clients/{name}" for name in clients)):
        assert_pair(folder, stem)
    verify = ["verify", "-x509_strict", "-check_ss_sig", "-CAfile", folder / "ca/ca.pem", "-purpose"]
    openssl(*verify, "sslserver", "-verify_hostname", "localhost", folder / "server/server.pem")
    for name in clients:
        openssl(*verify, "sslclient", folder / f"clients/{name}.pem")
    left = [p for p in folder.rglob("*") if p.name.endswith(".new")]
    assert not left


def test_everything_is_made_and_the_curl_line_is_said(program, tmp_path):
    done = program.run("init", "--state", tmp_path / "s", "--client", "alice")
    assert done.returncode == 0
    assert done.stderr == ""
    assert_whole(tmp_path / "s", "alice")
    assert (tmp_path / "s/.gitignore").read_text().splitlines()[-1] == "*"
    assert "\nregistry: sqlite:registry.db\n" in (tmp_path / "s/handclasp.yaml").read_text()
    assert [client["name"] for client in records(program, tmp_path / "s")] == ["alice"]
    assert f"curl --cacert {tmp_path}/s/ca/ca.pem --cert {tmp_path}/s/clients/alice.pem" in done.stdout
    assert "https://localhost:8443/" in done.stdout


def test_the_default_folder_is_dot_handclasp(program, tmp_path):
    assert program.run("init", cwd=tmp_path).returncode == 0
    assert_whole(tmp_path / ".handclasp")


def test_only_the_owner_can_read_keys_whatever_the_umask(program, tmp_path):
    done = program.run("init", "--state", tmp_path / "s", "--client", "a", preexec_fn=lambda: os.umask(0))
    assert done.returncode == 0
    for path in (tmp_path / "s").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        else:
            assert mode == (0o600 if path.suffix in (".key", ".db", ".db-journal") else 0o644), path


def test_run_again_it_changes_nothing(program, tmp_path):
    args = ["init", "--state", tmp_path / "s", "--client", "alice"]
    program.run(*args)
    before = contents(tmp_path / "s")
    done = program.run(*args)
    assert done.returncode == 0
    assert contents(tmp_path / "s") == before
    assert "nothing was changed" in done.stdout


def test_a_client_added_later_leaves_the_others_as_they_are(program, tmp_path):
    program.run("init", "--state", tmp_path / "s", "--client", "alice")
    before = contents(tmp_path / "s")
    assert program.run("init", "--state", tmp_path / "s", "--client", "bob").returncode == 0
    after = contents(tmp_path / "s")
    assert set(after) - set(before) == {"clients/bob.key", "clients/bob.pem"}
    assert all(after[name] == text for name, text in before.items() if name != "registry.db")
    assert [client["name"] for client in records(program, tmp_path / "s")] == ["alice", "bob"]
    assert_whole(tmp_path / "s", "alice", "bob")


def test_a_host_added_later_is_refused_with_what_to_do(program, tmp_path):
    program.run("init", "--state", tmp_path / "s")
    before = contents(tmp_path / "s")
    done = program.run("init", "--state", tmp_path / "s", "--host", "localhost", "--host", "shop.example")
    assert done.returncode == 1
    assert "server/server.pem does not name shop.example; move it away and run init again" in done.stdout
    assert contents(tmp_path / "s") == before
    # What it said to do works.
    (tmp_path / "s/server/server.pem").unlink()
    done = program.run("init", "--state", tmp_path / "s", "--host", "localhost", "--host", "shop.example")
    assert done.returncode == 0
    assert (tmp_path / "s/server/server.key").read_bytes() == before["server/server.key"]
    names = openssl("x509", "-in", tmp_path / "s/server/server.pem", "-noout", "-ext", "subjectAltName")
    assert "DNS:shop.example" in names and "IP Address:127.0.0.1" in names


def test_a_certificate_of_another_key_is_refused_and_kept(program, tmp_path):
    program.run("init", "--state", tmp_path / "s", "--client", "alice", "--client", "bob")
    (tmp_path / "s/clients/bob.key").rename(tmp_path / "s/clients/alice.key")
    before = contents(tmp_path / "s")
    done = program.run("init", "--state", tmp_path / "s", "--client", "alice")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "does not belong to the key" in done.stderr
    assert contents(tmp_path / "s") == before


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "a\nb", "a\x1b[31m", "x" * 65, ".x", "-x", b"\xff\xfe"])
def test_a_name_that_is_no_file_name_is_wrong_usage(program, tmp_path, name):
    argument = os.fsdecode(name) if isinstance(name, bytes) else name
    done = program.run("init", "--state", tmp_path / "s", f"--client={argument}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("host", ["a b", "localhost:8443", "[::1]", "1.2.3.4.5", "münchen.example", "https://x"])
def test_a_host_that_is_none_is_wrong_usage(program, tmp_path, host):
    done = program.run("init", "--state", tmp_path / "s", "--host", host)
    assert done.returncode == 2
    assert not (tmp_path / "s").exists()


def test_names_in_other_scripts_and_with_spaces_work(program, tmp_path):
    done = program.run("init", "--state", tmp_path / "s", "--client", "Jürgen Müller", "--client", "山田")
    assert done.returncode == 0
    assert_whole(tmp_path / "s", "Jürgen Müller", "山田")
    assert f"--key '{tmp_path}/s/clients/Jürgen Müller.key'" in done.stdout
    subject = openssl("x509", "-in", tmp_path / "s/clients/山田.pem", "-noout", "-subject", "-nameopt", "utf8")
    assert "山田" in subject


def test_json_says_what_was_made(program, tmp_path):
    done = program.run("init", "--json", "--state", tmp_path / "s", "--client", "alice")
    said = json.loads(done.stdout)
    assert said["made"][-2:] == ["clients/alice.key", "clients/alice.pem"]
    assert said["try"].startswith("curl ")
    failed = program.run("init", "--json", "--state", tmp_path / "s", "--client", "../x")
    assert failed.returncode == 2
    assert json.loads(failed.stdout)["code"] == "invalid-argument"


def test_a_folder_that_cannot_be_made_is_one_line(program, tmp_path):
    done = program.run("init", "--state", tmp_path / "no/such/parent")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    (tmp_path / "file").write_text("")
    assert program.run("init", "--state", tmp_path / "file").returncode == 1


def test_a_full_disk_leaves_nothing_half_written(program, tmp_path):
    """By a limit on file sizes: each write fails at once, as on a full disk."""
    import resource

    program.run("init", "--state", tmp_path / "s")
    before = contents(tmp_path / "s")

    def limit() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    done = program.run("init", "--state", tmp_path / "s", "--client", "alice", preexec_fn=limit)
    assert done.returncode == 1
    assert "registry.db" in done.stderr
    left = {k: v for k, v in contents(tmp_path / "s").items() if not k.endswith((".new", "-journal"))}
    assert left == {k: v for k, v in before.items() if not k.endswith("-journal")}
    assert program.run("init", "--state", tmp_path / "s", "--client", "alice").returncode == 0
    assert_whole(tmp_path / "s", "alice")


def test_many_at_once_make_one_whole(program, tmp_path):
    names = [f"c{i}" for i in range(12)]

    def one(name: str) -> subprocess.CompletedProcess[str]:
        return program.run("init", "--state", tmp_path / "s", "--client", name, "--client", "shared")

    with ThreadPoolExecutor(len(names)) as pool:
        done = list(pool.map(one, names))
    assert [d.returncode for d in done] == [0] * len(names), [d.stderr for d in done]
    assert_whole(tmp_path / "s", "shared", *names)
    made = [line.split("/s/")[1] for d in done for line in d.stdout.splitlines() if line.startswith("made")]
    assert len(made) == len(set(made)), "a file was made twice"


def test_killed_at_any_moment_it_is_completed_by_the_next(program, tmp_path):
    """SIGKILL after a random time, shorter and longer than a whole run; then once more, to its end."""
    clients = ["a", "b", "c"]
    args = [arg for name in clients for arg in ("--client", name)]
    began = time.perf_counter()
    program.run("init", "--state", tmp_path / "measure", *args)
    whole_s = time.perf_counter() - began
    chance = random.Random(7)
    stopped_at = set()
    for turn in range(KILLS):
        state = tmp_path / f"s{turn % 20}"
        process = subprocess.Popen(
            [program.binary, "init", "--state", state, *args],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=program.environment(),
        )
        time.sleep(chance.uniform(0, whole_s * 1.1))  # not to wait for something: the moment is what is varied
        process.kill()
        process.wait()
        # The registry is a database: a client that it does not have yet is added to it.
        kept = {
            name: text
            for name, text in contents(state).items()
            if not name.endswith(".new") and not name.startswith("registry.db")
        }
        stopped_at.add(frozenset(kept))
        if turn >= KILLS - 20:
            done = program.run("init", "--state", state, *args)
            assert done.returncode == 0, done.stderr
            after = contents(state)
            assert all(after[name] == text for name, text in kept.items()), "what was there was changed"
            assert_whole(state, *clients)
            listed = json.loads(program.run("client", "list", "--json", "--state", state).stdout)["clients"]
            assert sorted((one["name"], one["certificates"]) for one in listed) == [(name, 1) for name in clients]
    assert len(stopped_at) > 3, "no kill fell between the first file and the last"
