"""Revocation lists of CAs that are not ours: files and folders, of the client or of its whole chain, replaced whole."""

from __future__ import annotations

import base64
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pki
import pytest
from conftest import Server
from pki import HOUR, Authority, Identity, Pki
from tls_client import ECHO, VERSIONS, Alert, ask, attempt, client_context, connected, the_refusal, verdict_of


class World:
    """A root and an intermediate, both named to the server, and the folder with their lists."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.pki = Pki(folder)
        self.ca = self.pki.authority("Client CA")
        self.inner = self.ca.intermediate("Issuing CA")
        self.stranger = self.pki.authority("Stranger CA")
        self.server = self.ca.issue_server()
        self.alice, self.bob = self.inner.issue("alice"), self.inner.issue("bob")
        self.cas = folder / "cas.pem"
        self.cas.write_bytes(b"".join(one.certificate.public_bytes(pki.PEM) for one in (self.ca, self.inner)))
        self.lists = folder / "lists"
        self.lists.mkdir()
        self.put("root.crl", self.ca.crl())
        self.put("issuing.pem", self.inner.crl())

    def put(self, name: str, content: str | bytes) -> None:
        (self.lists / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def options(self, **more: object) -> dict[str, object]:
        own = {"certfile": self.server.certfile, "keyfile": self.server.keyfile, "ca_certs": self.cas}
        return own | {"crl": self.lists} | more

    def context(self, client: Identity, version: str | None = None):
        return client_context(self.ca.certfile, client, version)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "files")


def der(pem: str) -> bytes:
    return base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("--")))


def reload(server: Server, *, refused: bool = False) -> None:
    server.send_signal(signal.SIGHUP)
    server.wait_for("reload refused" if refused else "is in force")


@pytest.mark.parametrize("version", VERSIONS)
def test_folder_of_lists_is_obeyed(world: World, server, version: str) -> None:
    world.put("issuing.pem", world.inner.crl(world.alice))
    with server(ECHO, **world.options()) as running:
        assert attempt(running, world.context(world.alice, version)) == Alert("certificate_revoked")
        assert attempt(running, world.context(world.bob, version)).status == 200
        assert "keyCompromise" in the_refusal(running, world.alice)["detail"]


@pytest.mark.parametrize("name", ["issuing.pem", "issuing.crl", "issuing.der"])
def test_list_in_der_or_pem_counts_under_each_name(world: World, server, name: str) -> None:
    (world.lists / "issuing.pem").unlink()
    text = world.inner.crl(world.alice)
    world.put(name, text if name.endswith("pem") else der(text))
    with server(ECHO, **world.options()) as running:
        assert attempt(running, world.context(world.alice)) == Alert("certificate_revoked")
        assert attempt(running, world.context(world.bob)).status == 200


def test_files_of_a_folder_with_other_names_are_left_alone(world: World, server) -> None:
    world.put("README", "what these are")
    world.put(".issuing.pem.swp.pem", "half of")
    world.put("fetch.sh", "curl")
    (world.lists / "old").mkdir()
    with server(ECHO, **world.options()) as running:
        assert attempt(running, world.context(world.alice)).status == 200


def test_file_beside_a_folder_counts_too(world: World, server) -> None:
    more = world.pki.folder / "more.pem"
    more.write_text(world.inner.crl(world.alice))
    with server(ECHO, "--crl", str(more), **world.options()) as running:
        assert attempt(running, world.context(world.alice)) == Alert("certificate_revoked")
        assert attempt(running, world.context(world.bob)).status == 200


FAULTS: dict[str, Callable[[World], None]] = {
    "empty folder": lambda w: [one.unlink() for one in w.lists.iterdir()],
    "no folder": lambda w: w.lists.rename(w.lists.with_name("elsewhere")),
    "an empty file": lambda w: w.put("new.pem", ""),
    "half a file": lambda w: w.put("new.pem", w.inner.crl()[:200]),
    "a certificate": lambda w: w.put("new.pem", w.ca.certificate.public_bytes(pki.PEM)),
    "noise": lambda w: w.put("new.der", bytes(range(256))),
    "octets behind a list": lambda w: w.put("new.der", der(w.inner.crl()) + b"\0"),
    "a link to nowhere": lambda w: (w.lists / "new.pem").symlink_to("nowhere"),
    "a folder named as a list": lambda w: (w.lists / "new.pem").mkdir(),
    "a stale list": lambda w: w.put("new.pem", w.inner.crl(begins=-2 * HOUR, ends=-HOUR)),
    "a list of tomorrow": lambda w: w.put("new.pem", w.inner.crl(begins=HOUR, ends=2 * HOUR)),
    "a list of a stranger": lambda w: w.put("new.pem", w.stranger.crl()),
    "a list signed with another key": lambda w: w.put("new.pem", w.inner.crl(key=w.stranger.key)),
    "a list signed with a client's key": lambda w: w.put("new.pem", w.inner.crl(key=w.alice.key)),
}
each_fault = pytest.mark.parametrize("fault", FAULTS)


@each_fault
def test_bad_list_is_not_overlooked_at_the_start(world: World, start, fault: str) -> None:
    FAULTS[fault](world)
    broken = start(ECHO, **world.options())
    assert broken.wait() != 0
    (line,) = [line for line in broken.log() if " ERROR " in line]
    assert "lists" in line, line


@each_fault
def test_bad_list_leaves_what_was_in_force(world: World, server, fault: str) -> None:
    """Tomcat CVE-2026-53434 ignored it."""
    world.put("issuing.pem", world.inner.crl(world.alice))
    with server(ECHO, **world.options()) as running:
        FAULTS[fault](world)
        reload(running, refused=True)
        assert attempt(running, world.context(world.alice)) == Alert("certificate_revoked")
        assert attempt(running, world.context(world.bob)).status == 200


def test_reload_takes_the_folder_as_it_is_then(world: World, server) -> None:
    with server(ECHO, **world.options()) as running:
        with connected(running, world.context(world.alice)) as kept:
            assert ask(kept).status == 200
            world.put("more.pem", world.inner.crl(world.alice))
            reload(running)
            assert verdict_of(ask(kept)) == "revoked"
        assert attempt(running, world.context(world.bob)).status == 200
        (world.lists / "more.pem").unlink()
        running.send_signal(signal.SIGHUP)
        running.wait_for("is in force", count=2)
        assert attempt(running, world.context(world.alice)).status == 200


@pytest.mark.parametrize("first", ["a", "z"], ids=["read first", "read last"])
def test_of_two_lists_of_one_second_the_one_that_revokes_counts(world: World, server, first: str) -> None:
    """In one store of OpenSSL's the other one can hide it."""
    begin = -int(time.time()) % 60 - HOUR
    world.put(f"{first}.pem", world.inner.crl(world.alice, begins=begin))
    world.put("issuing.pem", world.inner.crl(begins=begin))
    with server(ECHO, **world.options()) as running:
        assert attempt(running, world.context(world.alice)) == Alert("certificate_revoked")
        assert attempt(running, world.context(world.bob)).status == 200


# The client's certificate, or the whole chain


def test_chain_is_checked_unless_told_otherwise(world: World, server) -> None:
    world.put("root.crl", world.ca.crl(world.inner))
    with server(ECHO, **world.options()) as running:
        assert attempt(running, world.context(world.alice)) == Alert("certificate_revoked")
        assert the_refusal(running, world.alice)["depth"] == "1"


def test_chain_without_a_list_of_each_ca_is_of_unknown_status(world: World, server) -> None:
    (world.lists / "root.crl").unlink()
    with server(ECHO, **world.options()) as running:
        assert attempt(running, world.context(world.alice)) == Alert("certificate_unknown")
        assert the_refusal(running, world.alice)["verdict"] == "status-unknown"


def test_for_the_leaf_alone_its_issuers_list_is_enough(world: World, server) -> None:
    (world.lists / "root.crl").unlink()
    world.put("issuing.pem", world.inner.crl(world.bob))
    with server(ECHO, **world.options(crl_check="leaf")) as running:
        assert attempt(running, world.context(world.alice)).status == 200
        assert attempt(running, world.context(world.bob)) == Alert("certificate_revoked")


def test_for_the_leaf_alone_the_list_of_another_ca_is_not_enough(world: World, server) -> None:
    (world.lists / "issuing.pem").unlink()
    with server(ECHO, **world.options(crl_check="leaf")) as running:
        assert attempt(running, world.context(world.alice)) == Alert("certificate_unknown")


def test_reload_can_go_over_to_the_whole_chain(world: World, server, tmp_path: Path) -> None:
    world.put("root.crl", world.ca.crl(world.inner))
    settings = tmp_path / "handclasp.yaml"
    settings.write_text("crl-check: leaf\n")
    with server(ECHO, config=settings, **world.options()) as running:
        with connected(running, world.context(world.alice)) as kept:
            assert ask(kept).status == 200
            settings.write_text("crl-check: chain\n")
            reload(running)
            assert verdict_of(ask(kept)) == "revoked"


# A CA with a new key


def rekeyed(world: World) -> Authority:
    """The same CA by its name, certified by the same root for another key."""
    return world.ca.intermediate("Issuing CA")


def test_list_by_a_cas_new_key_revokes_what_the_old_key_signed(world: World, server) -> None:
    new = rekeyed(world)
    world.cas.write_bytes(world.cas.read_bytes() + new.certificate.public_bytes(pki.PEM))
    world.put("issuing.pem", new.crl(world.alice))
    with server(ECHO, **world.options()) as running:
        assert attempt(running, world.context(world.alice)) == Alert("certificate_revoked")
        assert attempt(running, world.context(world.bob)).status == 200


def test_list_by_a_new_key_that_is_revoked_itself_vouches_for_nobody(world: World, server) -> None:
    new = rekeyed(world)
    world.cas.write_bytes(world.cas.read_bytes() + new.certificate.public_bytes(pki.PEM))
    world.put("issuing.pem", new.crl())
    world.put("root.crl", world.ca.crl(new))
    with server(ECHO, **world.options()) as running:
        assert attempt(running, world.context(world.bob)) == Alert("certificate_unknown")
