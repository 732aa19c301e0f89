"""The commands as programs: help, exit codes, one-line errors, --json; what inspect, explain, check-config say."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

COMMANDS = ["init", "serve", "client", "audit", "check-config", "inspect", "explain", "help", "version"]
OF_CLIENT = [
    "issue", "list", "show", "import", "suspend", "resume", "revoke", "role", "attribute", "remove", "export",
]


def assert_one_line(done: subprocess.CompletedProcess[str], code: int, pattern: str) -> None:
    assert done.returncode == code, done.stderr
    assert re.search(pattern, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""


# --- the program itself ---


@pytest.mark.parametrize("args", [[], ["help"], ["--help"], ["-h"]])
def test_help_lists_the_commands(program, args):
    done = program.run(*args)
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout
    assert "front" not in done.stdout.split("commands:")[1].split("`handclasp help")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(program, name):
    by_help, by_flag = program.run("help", name), program.run(name, "--help")
    assert by_help.returncode == by_flag.returncode == 0
    assert by_help.stderr == by_flag.stderr == ""
    if name != "help":
        assert by_help.stdout == by_flag.stdout
        assert by_help.stdout.startswith(f"usage: handclasp {name} ")
        assert "--json" in by_help.stdout


@pytest.mark.parametrize("name", OF_CLIENT)
def test_every_command_of_client_has_help_and_a_page_of_the_manual(program, name):
    by_help, by_flag = program.run("help", "client", name), program.run("client", name, "--help")
    assert by_help.returncode == by_flag.returncode == 0
    assert by_help.stdout == by_flag.stdout
    assert by_help.stdout.startswith(f"usage: handclasp client {name} ")
    for option in ("--json", "--state", "--registry"):
        assert option in by_help.stdout
    page = program.run("manual", f"client-{name}")
    assert page.returncode == 0
    assert f".TH handclasp-client-{name} 1" in page.stdout
    assert f"  client {name} " in program.run("client").stdout


@pytest.mark.parametrize("name", ["--version", "-v", "version"])
def test_the_version_is_that_of_the_package(program, name):
    done = program.run(name)
    wanted = re.search(r"version: '([^']+)'", (Path(__file__).parents[2] / "meson.build").read_text())[1]
    assert done.returncode == 0
    assert done.stdout.startswith(f"handclasp {wanted} (OpenSSL 3.")


@pytest.mark.parametrize(
    ("args", "pattern"),
    [
        (["frobnicate"], 'there is no command "frobnicate"'),
        (["help", "frobnicate"], 'there is no command "frobnicate"'),
        (["serve"], "which application"),
        (["serve", "--wrokers", "3", "x:y"], r"--wrokers: unknown option; did you mean --workers\?"),
        (["serve", "--workers", "0", "x:y"], '"0" is out of range; allowed: 1 to 256'),
        (["serve", "--daemon", "x:y"], "systemd"),
        (["serve", "-k", "gevent", "x:y"], "event loop"),
        (["serve", "--registry", "mysql:x", "x:y"], "--registry"),
        (["client", "frobnicate"], 'there is no command "frobnicate"; `handclasp help client`'),
        (["help", "client", "frobnicate"], 'there is no command "frobnicate"'),
        (["client", "show"], "which client"),
        (["client", "issue"], "for whom"),
        (["client", "import"], "which certificates"),
        (["audit", "surplus"], "no such argument"),
        (["serve", "-c", "missing.yaml", "x:y"], "missing.yaml does not exist"),
        (["init", "--clinet", "a"], r"did you mean --client\?"),
        (["init", "surplus"], "no such argument"),
        (["inspect"], "Name a certificate's file or a server"),
        (["explain"], "Name its file"),
        (["version", "x"], "no such argument"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(program, args, pattern, tmp_path):
    assert_one_line(program.run(*args, cwd=tmp_path), 2, pattern)


def test_errors_are_json_where_that_was_asked_for(program, tmp_path):
    done = program.run("serve", "--json", "--workers", "0", "x:y", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "error": '--workers: "0" is out of range; allowed: 1 to 256',
        "code": "invalid-argument",
    }


def test_a_reader_that_goes_away_is_no_crash(program):
    reader, writer = socket.socketpair()
    reader.close()
    with writer:
        done = subprocess.run([program.binary, "help", "serve"], stdout=writer, check=False)
    assert done.returncode == 1


# --- serve and check-config, before anything is served ---


def test_serve_without_certificates_says_what_to_do(program, tmp_path):
    done = program.run("serve", "x:y", cwd=tmp_path)
    assert_one_line(done, 1, "no server certificate: run `handclasp init`, or give")


def test_serve_without_a_ca_refuses_every_mode_that_asks(program, state, tmp_path):
    pair = ["--certfile", state / "server/server.pem", "--keyfile", state / "server/server.key"]
    for mode in ("required", "optional", "request"):
        done = program.run("serve", *pair, "--client-cert", mode, "x:y", cwd=tmp_path)
        assert_one_line(done, 1, "there is no CA to check them")


@pytest.mark.parametrize(
    ("name", "text"),
    [("ca/ca.pem", ""), ("ca/ca.pem", "no"), ("server/server.pem", "no"), ("server/server.key", "no")],
)
def test_a_broken_file_is_refused_by_check_config_as_by_serve(program, own_state, name, text):
    (own_state / name).write_text(text)
    for command in ("check-config", "serve"):
        done = program.run(command, "--state", own_state, "-b", "127.0.0.1:0", "x:y")
        assert done.returncode == 1
        assert str(own_state / name) in done.stderr


def test_check_config_says_each_value_and_where_it_came_from_wins(program, own_state):
    (own_state / "handclasp.yaml").write_text("registry: none\nthreads: 7\ntimeout: 5m\nworkers: 3\n")
    env = program.environment(HANDCLASP_TIMEOUT="10s")
    done = program.run("check-config", "--json", "--state", own_state, "--workers", "2", env=env)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["ok"] is True
    options = said["options"]
    assert (options["threads"], options["timeout"], options["workers"]) == ("7", "10s", "2")
    assert options["client-cert"] == ["required"]
    assert said["server"][0]["subject"] == "CN=localhost"
    assert said["cas"][0]["ca"] is True


def test_check_config_tells_a_mistake_in_the_file_with_its_line(program, own_state):
    (own_state / "handclasp.yaml").write_text("registry: none\n\nwrokers: 3\n")
    done = program.run("check-config", "--state", own_state)
    assert_one_line(done, 2, r"handclasp\.yaml:3: wrokers: unknown option; did you mean workers\?")


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost:99999", "::1:8443", "unix:", "fd://x"])
def test_check_config_refuses_what_is_no_address(program, own_state, address):
    done = program.run("check-config", "--state", own_state, "--bind", address, "shop:app")
    assert done.returncode == 1
    assert "cannot listen on" in done.stderr and "write HOST:PORT" in done.stderr


def test_check_config_loads_the_application(program, state, tmp_path):
    (tmp_path / "good.py").write_text("def app(e, s): ...\n")
    good = program.run("check-config", "--state", state, "--chdir", tmp_path, "good:app")
    assert good.returncode == 0, good.stderr
    bad = program.run("check-config", "--state", state, "--chdir", tmp_path, "good:nothing")
    assert bad.returncode == 1
    assert "nothing" in bad.stderr


# --- inspect ---


def test_inspect_shows_a_file(program, state):
    done = program.run("inspect", "--json", state / "clients/alice.pem")
    assert done.returncode == 0
    [cert] = json.loads(done.stdout)["certificates"]
    assert cert["subject"] == "CN=alice"
    assert cert["purposes"] == ["clientAuth"]
    assert int(cert["serial"]["hex"], 16) == int(cert["serial"]["decimal"])
    text = program.run("inspect", state / "clients/alice.pem").stdout
    assert re.search(r"^subject +CN=alice$", text, re.M)


def test_inspect_shows_a_server_and_whom_it_asks_for(program, server):
    with server("def app(e, s):\n    s('200 OK', [])\n    return [b'']\n") as running:
        done = program.run("inspect", "--json", f"localhost:{running.port}")
    said = json.loads(done.stdout)
    assert said["protocol"] == "TLSv1.3"
    assert said["asks_for_certificate"] is True
    assert said["client_cas"][0].startswith("CN=Handclasp CA ")
    assert {"type": "dns", "value": "localhost"} in said["certificates"][0]["names"]


def test_inspect_of_nothing_is_one_line(program, tmp_path):
    assert_one_line(program.run("inspect", "missing.pem", cwd=tmp_path), 1, "no such file, and not a server")
    (tmp_path / "empty.pem").write_text("")
    assert_one_line(program.run("inspect", "empty.pem", cwd=tmp_path), 1, "no certificate in it")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        assert_one_line(program.run("inspect", f"127.0.0.1:{port}"), 1, "cannot connect")


def test_inspect_ends_when_a_server_says_nothing(program):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert_one_line(program.run("inspect", "--timeout", "200ms", f"127.0.0.1:{port}"), 1, "not answer in time")


def test_inspect_ends_when_a_server_speaks_something_else(program):
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            peer, _ = other.accept()
            with peer:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                peer.recv(4096)

        thread = threading.Thread(target=answer)
        thread.start()
        done = program.run("inspect", f"127.0.0.1:{other.getsockname()[1]}")
        assert_one_line(done, 1, "no TLS handshake: wrong version number")
        thread.join()


# --- explain ---


def rules(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {rule["rule"]: rule["outcome"] for rule in json.loads(done.stdout)["rules"]}


def test_explain_admits_a_good_certificate(program, state):
    done = program.run("explain", "--json", "--state", state, state / "clients/alice.pem")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert said["verdict"] == "ok" and said["admitted"] is True
    assert rules(done) == {
        "well-formed": "yes", "issuer": "yes", "dates": "yes", "purpose": "yes", "strength": "yes",
        "revocation": "not-checked", "record": "yes",
    }
    assert said["client"] == {"name": "alice", "roles": []}
    assert "would be let in: ok" in program.run("explain", "--state", state, state / "clients/alice.pem").stdout


def test_explain_names_the_rule_that_refuses(program, state, other_state):
    foreign = program.run("explain", "--json", "--state", state, other_state / "clients/alice.pem")
    assert foreign.returncode == 1
    assert json.loads(foreign.stdout)["verdict"] == "untrusted-issuer"
    assert rules(foreign)["issuer"] == "no"
    assert rules(foreign)["dates"] == "yes"
    wrong = program.run("explain", "--json", "--state", state, state / "server/server.pem")
    assert json.loads(wrong.stdout)["verdict"] == "wrong-purpose"
    assert rules(wrong)["purpose"] == "no"


@pytest.mark.skipif(not shutil.which("faketime"), reason="faketime is not installed")
def test_explain_looks_past_the_date_at_the_other_rules(program, state):
    done = subprocess.run(
        ["faketime", "+400 days", program.binary, "explain", "--json", "--state", state, state / "clients/alice.pem"],
        capture_output=True, text=True, check=False, env=program.environment(),
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] == "expired"
    assert rules(done)["dates"] == "no"
    assert rules(done)["issuer"] == "yes"


def test_explain_takes_the_cas_of_the_servers_file(program, state, other_state, tmp_path):
    config = tmp_path / "handclasp.yaml"
    config.write_text(f"ca-certs: {other_state}/ca/ca.pem\n")
    alice = other_state / "clients/alice.pem"
    assert program.run("explain", "-c", config, "--state", state, alice).returncode == 0
    assert program.run("explain", "--ca-certs", state / "ca/ca.pem", "-c", config, alice).returncode == 1


def test_explain_without_a_ca_is_no_verdict(program, state, tmp_path):
    done = program.run("explain", state / "clients/alice.pem", cwd=tmp_path)
    assert_one_line(done, 1, "there is no CA to check them")
