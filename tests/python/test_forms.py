"""What other terminators hand over, read exactly or not at all."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from urllib.parse import quote

import pytest

from handclasp._forms import FORMS, TEXT_MAX, Handed, Unreadable

LEAF, OTHER = b"0\x03\x02\x01\x01", b"0\x03\x02\x01\x02"


def b64(der: bytes) -> str:
    return base64.b64encode(der).decode()


def pem(der: bytes, end: str = "\n") -> str:
    return f"-----BEGIN CERTIFICATE-----{end}{b64(der)}{end}-----END CERTIFICATE-----{end}"


def escaped(der: bytes) -> str:
    return quote(pem(der), safe="")


def alb(der: bytes) -> str:
    return quote(pem(der), safe="+=/")


def read(form: str, headers: dict[str, str]) -> Handed | None:
    return FORMS[form].read(headers.get)


XFCC = "X-Forwarded-Client-Cert"
GOOD: list[tuple[str, dict[str, str]]] = [
    ("rfc9440", {"Client-Cert": f":{b64(LEAF)}:"}),
    ("nginx", {"X-SSL-Client-Cert": escaped(LEAF)}),
    ("nginx", {"X-SSL-Client-Cert": escaped(LEAF), "X-SSL-Client-Verify": "SUCCESS"}),
    ("apache", {"X-SSL-Client-Cert": pem(LEAF, " ")}),
    ("haproxy", {"X-SSL-Client-Cert": b64(LEAF), "X-SSL-Client-Verify": "0"}),
    ("envoy", {XFCC: f'By=x;Hash={hashlib.sha256(LEAF).hexdigest()};Cert="{escaped(LEAF)}"'}),
    ("envoy", {XFCC: f'Subject="CN=a,b;c=\\"d\\"";URI=x;URI=y;Cert={escaped(LEAF)}'}),
    ("envoy", {XFCC: f'By=spiffe://a/b;By=spiffe://c/d;Hash={hashlib.sha256(LEAF).hexdigest()};Cert="{escaped(LEAF)}"'}),
    ("traefik", {"X-Forwarded-Tls-Client-Cert": b64(LEAF)}),
    ("aws-alb", {"X-Amzn-Mtls-Clientcert-Leaf": alb(LEAF)}),
    ("aws-alb", {"X-Amzn-Mtls-Clientcert": alb(LEAF)}),
]


@pytest.mark.parametrize(("form", "headers"), GOOD)
def test_the_certificate_is_read_as_it_is_documented(form: str, headers: dict[str, str]) -> None:
    assert read(form, headers) == Handed(LEAF)


@pytest.mark.parametrize(("form", "headers"), GOOD)
@pytest.mark.parametrize("broken", [lambda t: t.replace("M", "*", 1), lambda t: "!" + t, lambda t: f"{t},{t}"])
def test_a_text_that_is_not_exactly_one_certificate_is_none(
    form: str, headers: dict[str, str], broken: Callable[[str], str]
) -> None:
    name = next(name for name in headers if "Verify" not in name)
    if form == "traefik" and broken("a") == "a,a":
        return  # a list is what it writes: the client's chain
    with pytest.raises(Unreadable):
        read(form, {**headers, name: broken(headers[name])})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", ["", "(null)"])
def test_an_empty_header_is_an_absent_one(form: str, value: str) -> None:
    assert FORMS[form].read(lambda name: value) is None
    assert FORMS[form].read(lambda name: None) is None


@pytest.mark.parametrize("form", FORMS)
def test_a_header_without_end_is_not_read(form: str) -> None:
    with pytest.raises(Unreadable):
        FORMS[form].read(lambda name: "A" * (TEXT_MAX + 1))


@pytest.mark.parametrize("result", ["FAILED:expired", "NONE", "GENEROUS", "success", "1", ""])
def test_a_certificate_beside_a_result_that_is_not_success_is_none(result: str) -> None:
    with pytest.raises(Unreadable):
        read("nginx", {"X-SSL-Client-Cert": escaped(LEAF), "X-SSL-Client-Verify": result or "x"})


def test_success_without_a_certificate_is_an_error() -> None:
    with pytest.raises(Unreadable):
        read("nginx", {"X-SSL-Client-Verify": "SUCCESS"})
    assert read("nginx", {"X-SSL-Client-Verify": "NONE"}) is None


@pytest.mark.parametrize("text", ["MAMCAQE=x", "xMAMCAQE=", "MAMCAQE", "MAMC AQE=", "MA=CAQE="])
def test_base64_is_read_strictly(text: str) -> None:
    for form, name in (
        ("haproxy", "X-SSL-Client-Cert"),
        ("traefik", "X-Forwarded-Tls-Client-Cert"),
    ):
        with pytest.raises(Unreadable):
            read(form, {name: text})
    with pytest.raises(Unreadable):
        read("rfc9440", {"Client-Cert": f":{text}:"})


def test_two_headers_that_disagree_are_none() -> None:
    both = {
        "X-Amzn-Mtls-Clientcert-Leaf": alb(LEAF),
        "X-Amzn-Mtls-Clientcert": alb(LEAF) + alb(OTHER),
    }
    assert read("aws-alb", both) == Handed(LEAF, (OTHER,))
    with pytest.raises(Unreadable):
        read("aws-alb", {**both, "X-Amzn-Mtls-Clientcert": alb(OTHER)})


# As the documentation of the load balancer has them: PEM, URL-encoded with "+=/" as safe characters. The octets are
# chosen so that all three are there.
ALB_LEAF = "-----BEGIN%20CERTIFICATE-----%0AMAYEBPv/++8=%0A-----END%20CERTIFICATE-----%0A"
ALB_ISSUER = "-----BEGIN%20CERTIFICATE-----%0AMAMCAQI=%0A-----END%20CERTIFICATE-----%0A"
ALB_DER = bytes.fromhex("30060404fbfffbef")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Amzn-Mtls-Clientcert-Leaf": ALB_LEAF}, Handed(ALB_DER)),
        ({"X-Amzn-Mtls-Clientcert": ALB_LEAF}, Handed(ALB_DER)),
        ({"X-Amzn-Mtls-Clientcert": ALB_LEAF + ALB_ISSUER}, Handed(ALB_DER, (OTHER,))),
        ({"X-Amzn-Mtls-Clientcert": ALB_LEAF[:-3]}, Handed(ALB_DER)),
        ({"X-Amzn-Mtls-Clientcert-Leaf": ""}, None),
        ({}, None),
    ],
)
def test_an_alb_s_headers_are_read_as_it_documents_them(headers: dict[str, str], expected: Handed | None) -> None:
    beside = {
        "X-Amzn-Mtls-Clientcert-Serial-Number": "03A5B1",
        "X-Amzn-Mtls-Clientcert-Issuer": "CN=rootcamtls.com,OU=rootCA,O=mTLS,L=Seattle,ST=Washington,C=US",
        "X-Amzn-Mtls-Clientcert-Subject": "CN=client_.com,OU=client-3,O=mTLS,ST=Washington,C=US",
        "X-Amzn-Mtls-Clientcert-Validity": "NotBefore=2023-09-21T01:50:17Z;NotAfter=2024-09-20T01:50:17Z",
    }
    assert read("aws-alb", headers | beside) == expected


@pytest.mark.parametrize(
    "text",
    [
        ALB_LEAF + ALB_LEAF[:40],  # cut off
        ALB_LEAF.replace("%0A", "%00", 1),
        ALB_LEAF.replace("/", "%2F").replace("%2F", "%", 1),
        ALB_LEAF.replace("MAY", "MA%ff"),
        "x" + ALB_LEAF,
        ALB_LEAF + "x",
        ALB_LEAF + ALB_ISSUER * 10,
    ],
)
@pytest.mark.parametrize("name", ["X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Mtls-Clientcert"])
def test_an_alb_s_header_that_is_not_so_is_none(name: str, text: str) -> None:
    with pytest.raises(Unreadable):
        read("aws-alb", {name: text})


def test_an_alb_s_leaf_is_one_certificate() -> None:
    with pytest.raises(Unreadable):
        read("aws-alb", {"X-Amzn-Mtls-Clientcert-Leaf": ALB_LEAF + ALB_ISSUER})


def test_envoy_s_parts_that_disagree_are_none() -> None:
    cert = f"Cert={escaped(LEAF)}"
    assert read("envoy", {XFCC: f'{cert};Chain="{escaped(LEAF)}{escaped(OTHER)}"'}) == Handed(LEAF, (OTHER,))
    for wrong in (
        f"{cert};Hash={'0' * 64}",
        f"{cert};Chain={escaped(OTHER)}",
        f"{cert};{cert}",
        f"{cert},{cert}",
        "By=x;Hash=y",
        "Cert",
    ):
        with pytest.raises(Unreadable):
            read("envoy", {XFCC: wrong})


def test_a_chain_needs_its_leaf() -> None:
    chain = {"Client-Cert-Chain": f":{b64(OTHER)}:"}
    leaf = {"Client-Cert": f":{b64(LEAF)}:"}
    assert read("rfc9440", {**leaf, **chain}) == Handed(LEAF, (OTHER,))
    with pytest.raises(Unreadable):
        read("rfc9440", chain)


def test_server_variables_are_read_and_must_agree() -> None:
    nginx, apache = FORMS["nginx"], FORMS["apache"]
    assert nginx.read_variables({"SSL_CLIENT_CERT": escaped(LEAF)}) == Handed(LEAF)
    assert nginx.read_variables({"HTTP_X_SSL_CLIENT_CERT": escaped(LEAF)}) is None
    assert apache.read_variables(
        {
            "SSL_CLIENT_CERT": pem(LEAF),
            "SSL_CLIENT_VERIFY": "SUCCESS",
            "SSL_CLIENT_CERT_CHAIN_0": pem(OTHER),
        }
    ) == Handed(LEAF, (OTHER,))
    assert apache.read_variables({"SSL_CLIENT_VERIFY": "NONE"}) is None
    with pytest.raises(Unreadable):
        apache.read_variables({"SSL_CLIENT_CERT": pem(LEAF), "SSL_CLIENT_VERIFY": "FAILED:x"})
    with pytest.raises(Unreadable):
        nginx.read_variables({"SSL_CLIENT_CERT": pem(LEAF), "X_SSL_CLIENT_CERT": pem(OTHER)})


def test_names_can_be_changed() -> None:
    form = FORMS["nginx"].renamed("X-SSL-CERT", None, None)
    assert form.read({"X-SSL-CERT": escaped(LEAF)}.get) == Handed(LEAF)
    assert form.headers() == ("X-SSL-CERT", "X-SSL-Client-Verify")


def test_the_one_of_two_headers_that_is_named_is_read_as_ever_and_the_other_not_at_all() -> None:
    form = FORMS["aws-alb"].renamed("x-amzn-mtls-clientcert", None, None)
    headers = {"x-amzn-mtls-clientcert": alb(LEAF) + alb(OTHER), "X-Amzn-Mtls-Clientcert-Leaf": alb(OTHER)}
    assert form.read(headers.get) == Handed(LEAF, (OTHER,))
    assert form.read({"X-Amzn-Mtls-Clientcert-Leaf": alb(OTHER)}.get) is None
