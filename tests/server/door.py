"""A server with a registry of its own to be changed, for the tests of what happens at its door."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from conftest import Program, Response, Server, children, eventually, running
from pki import Authority, Identity, Pki
from records import Registry
from tls_client import client_context

# What is promised, and what a machine that does much else at the same time may need.
PROMISED_S, PATIENCE_S = 1.0, 15.0

WHO = """
import json, os, time

def app(environ, start_response):
    environ["wsgi.input"].read()
    client = environ.get("handclasp.client")
    seen = {"user": environ.get("REMOTE_USER"), "verdict": environ.get("handclasp.verdict"),
            "name": client and client.name, "roles": client and sorted(client.roles),
            "resumed": environ.get("SSL_SESSION_RESUMED"), "pid": os.getpid()}
    if client and environ["PATH_INFO"] == "/attributes":
        seen["attributes"] = dict(client.attributes)
    if environ["PATH_INFO"] == "/slow":
        def parts():
            for i in range(40):
                yield b"x" * 1000
                time.sleep(0.05)
        start_response("200 OK", [])
        return parts()
    if environ["PATH_INFO"] == "/wait":
        time.sleep(1.5)
    if environ["PATH_INFO"] == "/ask":
        asked = {"certificates": lambda: [dict(serial=c.serial, status=c.status, current=c.current)
                                          for c in client.certificates]}
        seen["answer"] = asked["certificates"]()
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


@dataclasses.dataclass
class Door:
    """A CA, a registry, and how to serve with them."""

    pki: Pki
    ca: Authority
    server_identity: Identity
    registry: Registry
    begin: Callable[..., contextlib.AbstractContextManager[Server]]

    def issue(self, name: str, **record: object) -> Identity:
        identity = self.ca.issue(name)
        self.registry.add(name, identity.certificate, **record)
        return identity

    def context(self, client: Identity | None, version: str | None = None) -> ssl.SSLContext:
        return client_context(self.ca.certfile, client, version)

    def serve(self, app: str = WHO, **options: object):
        return self.begin(
            app,
            **{
                "certfile": self.server_identity.certfile,
                "keyfile": self.server_identity.keyfile,
                "ca_certs": self.ca.certfile,
                "registry": f"sqlite://{self.registry.path}",
            }
            | options,
        )


def make_door(program: Program, state: Path, folder: Path) -> Door:
    pki = Pki(folder)
    ca = pki.authority("Client CA")

    def begin(app: str, **options: object):
        served = folder / f"served-{len(list(folder.iterdir()))}"
        served.mkdir()
        return running(program, state, served, app, **options)

    return Door(pki, ca, ca.issue_server(), Registry.create(folder / "registry.db"), begin)


def seen(response: Response) -> dict:
    assert isinstance(response, Response), response
    assert response.status == 200, response.text
    return json.loads(response.body)


def authority_pid(server: Server) -> int:
    (found,) = [pid for pid, line in children(server.pid) if line[1:2] == ["authority"]]
    return found


def until(what: Callable[[], bool], why: str) -> float:
    """How long it took. What is promised is measured; a test machine that is busy is no failure."""
    began = time.monotonic()
    eventually(what, why, PATIENCE_S)
    return time.monotonic() - began
