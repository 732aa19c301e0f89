"""What is missing, broken or empty lets nobody in: the server does not start, or keeps what was in force."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Program, Server, running
from cryptography.hazmat.primitives.serialization import Encoding
from pki import Identity, Pki
from tls_client import ECHO, VERSIONS, Alert, ask, attempt, client_context, connected, the_refusal, verdict_of


class World:
    """A server's files, each under the name of its option, to be spoiled."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.pki = Pki(folder)
        self.ca = self.pki.authority("Client CA")
        self.other = self.pki.authority("Other CA")
        self.server = self.ca.issue_server()
        self.alice = self.ca.issue("alice")
        self.write("certfile", self.server.pem())
        self.write("keyfile", self.server.encrypted_keyfile(b"secret").read_bytes())
        self.write("keyfile-passphrase-file", b"secret\n")
        self.write("ca-certs", self.ca.pem())
        self.write("crl", self.ca.crl().encode())

    def path(self, option: str) -> Path:
        return self.folder / f"{option}.file"

    def write(self, option: str, content: bytes) -> None:
        self.path(option).write_bytes(content)
        self.path(option).chmod(0o600)

    @property
    def options(self) -> dict[str, object]:
        names = ["certfile", "keyfile", "keyfile-passphrase-file", "ca-certs", "crl"]
        return {name: self.path(name) for name in names}

    def context(self, client: Identity | None, version: str | None = None):
        return client_context(self.ca.certfile, client, version)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("good"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "files")


def cut(content: bytes) -> bytes:
    """In the middle of the base64 text."""
    return content[: len(content) // 2]


def one_character(content: bytes) -> bytes:
    """Still PEM, no longer DER or no longer signed."""
    at = content.index(b"\n") + 5
    return content[:at] + (b"A" if content[at : at + 1] != b"A" else b"B") + content[at + 1 :]


ANY_FILE: dict[str, Callable[[World, str], None]] = {
    "missing": lambda w, option: w.path(option).unlink(),
    "empty": lambda w, option: w.write(option, b""),
    "white space": lambda w, option: w.write(option, b" \n\n"),
    "a folder": lambda w, option: (w.path(option).unlink(), w.path(option).mkdir()),
    "a link to nowhere": lambda w, option: (w.path(option).unlink(), w.path(option).symlink_to("nowhere")),
}
PEM_FILE: dict[str, Callable[[World, str], None]] = {
    "noise": lambda w, option: w.write(option, bytes(range(256)) * 8),
    "cut": lambda w, option: w.write(option, cut(w.path(option).read_bytes())),
    "spoiled": lambda w, option: w.write(option, one_character(w.path(option).read_bytes())),
    "another kind": lambda w, option: w.write(option, OTHER_KIND[option](w)),
    "good, then cut": lambda w, option: w.write(option, w.path(option).read_bytes() + cut(w.path(option).read_bytes())),
}
OTHER_KIND: dict[str, Callable[[World], bytes]] = {
    "certfile": lambda w: w.ca.crl().encode(),
    "keyfile": lambda w: w.server.pem(),
    "ca-certs": lambda w: w.ca.crl().encode(),
    "crl": lambda w: w.ca.pem(),
}
OWN: dict[str, dict[str, Callable[[World, str], None]]] = {
    "certfile": {
        "of another key": lambda w, option: w.write(option, w.ca.issue_server().pem()),
        "with a weak key": lambda w, option: weak_server(w),
    },
    "keyfile": {
        "of another certificate": lambda w, option: w.write(option, w.ca.issue_server().keyfile.read_bytes()),
        "encrypted otherwise": lambda w, option: w.write(option, other_passphrase(w)),
    },
    "keyfile-passphrase-file": {"wrong": lambda w, option: w.write(option, b"wrong\n")},
    "ca-certs": {
        "no CA": lambda w, option: w.write(option, w.alice.pem()),
        "a CA and one that is none": lambda w, option: w.write(option, w.ca.pem() + w.alice.pem()),
    },
    "crl": {
        "of a CA that is not trusted": lambda w, option: w.write(option, w.other.crl().encode()),
        "forged": lambda w, option: w.write(option, w.ca.crl(key=w.other.key).encode()),
        "a good one and a forged one": lambda w, option: w.write(
            option, w.ca.crl().encode() + w.ca.crl(key=w.other.key).encode()
        ),
    },
}  # fmt: skip
CASES = [
    (option, fault)
    for option in OWN
    for fault in [*ANY_FILE, *([] if "passphrase" in option else PEM_FILE), *OWN[option]]
    if (option, fault) != ("keyfile", "good, then cut")  # one key is wanted, and the first is the right one
]


def other_passphrase(world: World) -> bytes:
    return world.server.encrypted_keyfile(b"other", old=True).read_bytes()


def weak_server(world: World) -> None:
    weak = world.ca.issue_server(kind="rsa1024")
    world.write("certfile", weak.pem())
    world.write("keyfile", weak.keyfile.read_bytes())
    world.write("keyfile-passphrase-file", b"unused\n")


def spoil(world: World, option: str, fault: str) -> None:
    ({**ANY_FILE, **PEM_FILE, **OWN[option]})[fault](world, option)


each_case = pytest.mark.parametrize(("option", "fault"), CASES)


@each_case
def test_server_does_not_start(world: World, start: Callable[..., Server], option: str, fault: str) -> None:
    spoil(world, option, fault)
    server = start(ECHO, **world.options)
    assert server.wait() != 0
    (line,) = [line for line in server.log() if " ERROR " in line]
    named = world.path(option).name
    assert named in line or f"--{option}" in line or str(world.path("keyfile")) in line or "certfile" in line, line


def test_reload_keeps_what_was_in_force(
    good: World, program: Program, state: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All faults on one server: after each, alice is in as before, and eve out."""
    world = World(tmp_path / "files")
    eve = world.other.issue("eve")
    contents = {option: world.path(option).read_bytes() for option in OWN}
    with running(program, state, tmp_path, ECHO, **world.options) as server:
        with connected(server, world.context(world.alice)) as kept:
            for number, (option, fault) in enumerate(CASES, 1):
                spoil(world, option, fault)
                server.send_signal(signal.SIGHUP)
                server.wait_for("reload refused", count=number)
                assert ask(kept).status == 200, (option, fault)
                for one in OWN:
                    path = world.path(one)
                    if path.is_dir():
                        path.rmdir()
                    elif path.is_symlink():
                        path.unlink()
                    world.write(one, contents[one])
        assert not any("is in force" in line for line in server.log())
        assert attempt(server, world.context(world.alice)).status == 200
        assert attempt(server, world.context(eve)) == Alert("unknown_ca")


@pytest.mark.parametrize("version", VERSIONS)
def test_first_connection_after_the_start_already_knows_who_is_revoked(
    world: World, program: Program, state: Path, tmp_path: Path, version: str
) -> None:
    world.write("crl", world.ca.crl(world.alice).encode())
    with running(program, state, tmp_path, ECHO, **world.options) as server:
        assert attempt(server, world.context(world.alice, version)) == Alert("certificate_revoked")
        assert the_refusal(server, world.alice)["verdict"] == "revoked"


@pytest.mark.parametrize(("begins", "ends"), [(-7200, -3600), (3600, 7200)], ids=["stale", "not yet"])
def test_list_out_of_its_time_lets_nobody_in(
    world: World, program: Program, state: Path, tmp_path: Path, start, begins: int, ends: int
) -> None:
    """It may also keep the server from starting: never is it as if there were no list."""
    world.write("crl", world.ca.crl(begins=begins, ends=ends).encode())
    server = start(ECHO, **world.options)
    try:
        server.wait_for("listening on ")
    except pytest.fail.Exception:
        assert server.wait() != 0
        return
    server.port = int(server.wait_for("listening on ").split("127.0.0.1:")[1].split()[0])
    assert attempt(server, world.context(world.alice)) == Alert("certificate_unknown")
    assert the_refusal(server, world.alice)["verdict"] == "status-unknown"


def test_list_that_ends_while_the_server_runs_lets_nobody_in_any_more(
    world: World, program: Program, state: Path, tmp_path: Path
) -> None:
    end = time.time() + 3
    world.write("crl", world.ca.crl(ends=3).encode())
    with running(program, state, tmp_path, ECHO, **world.options) as server:
        context = world.context(world.alice)
        with connected(server, context) as kept:
            assert ask(kept).status == 200
            session = kept.session
            time.sleep(max(0.0, end + 0.1 - time.time()))  # nothing announces it
            assert verdict_of(ask(kept)) == "status-unknown"
        assert attempt(server, context, session=session) == Alert("certificate_unknown")


def test_certificate_of_a_ca_of_the_system_is_not_enough(
    world: World, program: Program, state: Path, tmp_path: Path
) -> None:
    """SSL_CERT_FILE is what OpenSSL takes for the system's CAs."""
    bundle = tmp_path / "system.pem"
    bundle.write_bytes(world.other.certificate.public_bytes(Encoding.PEM))
    env = {"SSL_CERT_FILE": str(bundle), "SSL_CERT_DIR": str(tmp_path)}
    with running(program, state, tmp_path, ECHO, env=env, **world.options) as server:
        assert attempt(server, world.context(world.other.issue("eve"))) == Alert("unknown_ca")


def test_no_ca_at_all_is_an_error_where_certificates_are_asked_for(
    world: World, program: Program, start, tmp_path: Path
) -> None:
    options = {name: path for name, path in world.options.items() if name not in ("ca-certs", "crl")}
    for mode in ("required", "optional", "request"):
        server = start(ECHO, state=tmp_path / "nowhere", client_cert=mode, **options)
        assert server.wait() != 0
        assert any("--ca-certs" in line for line in server.log())


def test_state_folder_that_lost_a_file_is_an_error(own_state: Path, start) -> None:
    for name in ("ca/ca.pem", "server/server.pem", "server/server.key"):
        kept = own_state.parent / "kept"
        shutil.move(own_state / name, kept)
        assert start(ECHO, state=own_state).wait() != 0, name
        shutil.move(kept, own_state / name)
