"""Run with pytest in this folder; nothing needs TLS."""

from app import app
from handclasp.testing import HandclaspClient, make_certificate

app.test_client_class = HandclaspClient


def test_alice_sees_her_name_and_serial() -> None:
    client = app.test_client(certificate=make_certificate("alice", serial=0x1F))
    assert client.get("/").text == "hello alice, your serial is 1f (decimal 31)\n"


def test_nobody_is_refused() -> None:
    assert app.test_client().get("/").status_code == 403
