"""handclasp.certificate: what a certificate says to an application."""

from __future__ import annotations

import copy
import gc
import pickle
import shutil
import subprocess
import tracemalloc
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from handclasp import _core
from handclasp.certificate import Certificate, Name, SubjectAltName
from handclasp.testing import make_certificate

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


def by_openssl(folder: Path, subject: str, *options: str, config: str = "") -> Certificate:
    """A self-signed certificate made by the openssl command."""
    conf = folder / "conf"
    conf.write_text(f"[req]\ndistinguished_name=dn\n[dn]\n{config}\n")
    der = folder / "cert.der"
    command = ["openssl", "req", "-x509", "-config", conf, "-newkey", "ec"]
    command += ["-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "key"]
    command += ["-utf8", "-multivalue-rdn", "-subj", subject, "-outform", "DER", "-out", der]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return Certificate(der.read_bytes())


def test_a_certificate_names_its_subject_issuer_and_serial() -> None:
    certificate = make_certificate("alice", subject=[("OU", "meters")], serial=0xF00FF)
    assert certificate.subject.common_name == "alice"
    assert certificate.subject.get("OU") == "meters"
    assert certificate.issuer.common_name == "Handclasp test CA"
    assert (certificate.serial, certificate.serial_hex) == (0xF00FF, "f00ff")


def test_validity_is_aware_and_in_utc() -> None:
    certificate = make_certificate("alice", starts_s=-60, ends_s=3600)
    assert certificate.not_before.tzinfo is UTC
    assert certificate.not_after - certificate.not_before == timedelta(seconds=3660)
    assert certificate.not_before < datetime.now(UTC) < certificate.not_after


def test_alternative_names_are_typed_and_keep_their_order() -> None:
    sans = [
        ("dns", "a.example"),
        ("ip", "::1"),
        ("email", "a@b"),
        ("uri", "urn:x"),
        ("ip", "10.0.0.1"),
    ]
    certificate = make_certificate("alice", sans=sans)
    assert [san.type for san in certificate.sans] == [type for type, _ in sans]
    assert certificate.sans[0] == SubjectAltName("dns", "a.example")
    assert certificate.sans.ip == (ip_address("::1"), ip_address("10.0.0.1"))
    assert certificate.sans.email == ("a@b",)
    assert certificate.sans.uri == ("urn:x",)
    assert certificate.sans.upn == certificate.sans.other == ()


def test_an_email_address_is_no_dns_name() -> None:
    certificate = make_certificate("alice", sans=[("email", "host.example")])
    assert certificate.sans.dns == ()


def test_pem_round_trips_and_fingerprints_are_those_of_the_der() -> None:
    import hashlib
    import ssl

    certificate = make_certificate("alice")
    assert ssl.PEM_cert_to_DER_cert(certificate.pem) == certificate.der
    assert certificate.pem == _core.certificate_variables(certificate.der)["SSL_CLIENT_CERT"]
    assert certificate.fingerprint_sha256 == hashlib.sha256(certificate.der).hexdigest()
    assert certificate.fingerprint_sha1 == hashlib.sha1(certificate.der).hexdigest()


def test_key_type_and_size_are_told() -> None:
    certificate = make_certificate("alice")
    assert (certificate.public_key_type, certificate.public_key_bits) == ("EC", 256)


def test_certificates_are_equal_by_their_der_and_usable_as_keys() -> None:
    alice = make_certificate("alice")
    assert alice == Certificate(alice.der) != make_certificate("bob")
    assert len({alice, Certificate(alice.der)}) == 1
    assert alice != alice.der


@pytest.mark.parametrize("name", ["der", "serial", "anything"])
def test_a_certificate_cannot_be_changed(name: str) -> None:
    certificate = make_certificate("alice")
    with pytest.raises(AttributeError, match="immutable"):
        setattr(certificate, name, b"")
    with pytest.raises(AttributeError, match="immutable"):
        delattr(certificate, name)


def test_a_certificate_survives_pickle_and_copy_with_its_chain() -> None:
    certificate = Certificate(make_certificate("alice").der, [make_certificate("ca").der])
    for twin in (pickle.loads(pickle.dumps(certificate)), copy.deepcopy(certificate)):
        assert twin == certificate
        assert twin.chain == certificate.chain == (make_certificate("ca"),)


def test_attributes_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = Certificate(make_certificate("alice").der)
    calls: list[bytes] = []
    decode = _core.decode_certificate
    monkeypatch.setattr(_core, "decode_certificate", lambda der: calls.append(der) or decode(der))
    for _ in range(2):
        assert certificate.subject.common_name == "alice"
        assert certificate.serial and certificate.sans == () and certificate.not_after
    assert len(calls) == 1


def test_the_serial_of_the_servers_variables_needs_no_decoding() -> None:
    certificate = Certificate(b"not decoded", (), {"SSL_CLIENT_M_SERIAL": "0F00FF"})
    assert (certificate.serial, certificate.serial_hex) == (0xF00FF, "f00ff")


@pytest.mark.parametrize(
    "der", [b"", b"x", make_certificate("alice").der[:-1], make_certificate("alice").der + b"\0"]
)
def test_what_is_no_certificate_raises_when_it_is_read(der: bytes) -> None:
    certificate = Certificate(der)
    with pytest.raises(ValueError):
        _ = certificate.subject
    assert "cannot be decoded" in repr(certificate)


def test_a_der_must_be_bytes() -> None:
    with pytest.raises(TypeError):
        _core.decode_certificate("text")  # type: ignore[arg-type]


@needs_openssl
def test_multi_valued_rdns_stay_together_and_text_runs_last_first(tmp_path: Path) -> None:
    certificate = by_openssl(tmp_path, "/O=Acme/OU=admin+CN=alice/CN=second")
    assert [len(rdn) for rdn in certificate.subject] == [1, 2, 1]
    assert certificate.subject.get_all("CN") == ("alice", "second")
    assert str(certificate.subject).startswith("CN=second,")
    assert str(certificate.subject).endswith(",O=Acme")
    assert "+" in str(certificate.subject)


def test_what_looks_like_another_attribute_is_escaped_and_stays_in_its_own() -> None:
    certificate = make_certificate(' x,OU=admin\\+"<>;\n#')
    assert certificate.subject.get("OU") is None
    assert certificate.subject.common_name == ' x,OU=admin\\+"<>;\n#'
    assert str(certificate.subject) == 'CN=\\ x\\,OU=admin\\\\\\+\\"\\<\\>\\;\\0a#'


@needs_openssl
def test_text_beyond_ascii_stays_as_it_is(tmp_path: Path) -> None:
    certificate = by_openssl(tmp_path, "/CN=Zoë 東京")
    assert certificate.subject.common_name == "Zoë 東京"
    assert str(certificate.subject) == "CN=Zoë 東京"


def test_an_unknown_attribute_is_found_by_its_oid() -> None:
    certificate = make_certificate("alice", subject=[("1.2.3.4", "text")])
    assert certificate.subject.get("1.2.3.4") == "text"
    assert str(certificate.subject) == "1.2.3.4=#0c0474657874,CN=alice"


@needs_openssl
@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("0x0", 0),
        ("-5", -5),
        ("0x7fffffffffffffffffffffffffffffffffffffff", 2**159 - 1),
        ("18446744073709551616", 2**64),
    ],
)
def test_serials_of_every_size_are_exact(tmp_path: Path, given: str, number: int) -> None:
    certificate = by_openssl(tmp_path, "/CN=alice", "-set_serial", given)
    assert certificate.serial == number
    assert certificate.serial_hex == f"{number:x}"
    variables = _core.certificate_variables(certificate.der)
    assert Certificate(certificate.der, (), variables).serial == number


@needs_openssl
def test_a_user_principal_name_is_found(tmp_path: Path) -> None:
    extension = "subjectAltName=otherName:msUPN;UTF8:alice@corp,otherName:1.2.3;UTF8:x,RID:1.2.3.4"
    certificate = by_openssl(tmp_path, "/CN=alice", "-addext", extension)
    assert certificate.sans.upn == ("alice@corp",)
    assert len(certificate.sans.other) == 2
    assert certificate.sans.email == ()


def test_names_are_compared_by_value() -> None:
    one = Name([[("CN", "2.5.4.3", "x")], [("O", "2.5.4.10", "y")]])
    assert one == Name([[("CN", "2.5.4.3", "x")], [("O", "2.5.4.10", "y")]])
    assert one != Name([[("CN", "2.5.4.3", "x"), ("O", "2.5.4.10", "y")]])
    assert hash(one) == hash(Name(list(one)))
    assert one.get("missing") is None and one.get("missing", "-") == "-"
    assert one.get("cn") == one.get("2.5.4.3") == "x"


def test_a_long_value_of_an_unknown_type_has_a_long_length() -> None:
    assert str(Name([[("1.2.3", "1.2.3", "a" * 200)]])).startswith("1.2.3=#0c81c861")


@pytest.mark.parametrize(
    "arguments",
    [
        {"subject": [("no such type", "x")]},
        {"sans": [("ip", "no address")]},
        {"sans": [("upn", "x")]},
    ],
)
def test_a_test_certificate_of_nonsense_is_an_error(
    arguments: dict[str, list[tuple[str, str]]],
) -> None:
    with pytest.raises(ValueError):
        make_certificate("alice", **arguments)  # type: ignore[arg-type]


def test_decoding_leaks_nothing() -> None:
    der = make_certificate("alice", sans=[("dns", "x")] * 20).der

    def many() -> None:
        for _ in range(300):
            _core.decode_certificate(der)
            with pytest.raises(ValueError):
                _core.decode_certificate(der[:-1])
            _core.certificate_variables(der)

    many()
    gc.collect()
    tracemalloc.start()
    try:
        many()
        gc.collect()
        left = sum(stat.size for stat in tracemalloc.take_snapshot().statistics("filename"))
    finally:
        tracemalloc.stop()
    assert left < 100_000


def test_an_allocation_that_fails_is_a_memory_error_and_nothing_worse() -> None:
    _testcapi = pytest.importorskip("_testcapi")
    certificate = make_certificate("alice", subject=[("OU", "x")], sans=[("dns", "x")] * 3)
    whole = _core.decode_certificate(certificate.der)
    outcomes = set()
    for use in (_core.decode_certificate, _core.certificate_variables):
        for nth in range(1, 120):
            result = None
            _testcapi.set_nomemory(nth, nth + 1)
            try:
                result = use(certificate.der)
            except MemoryError:
                pass
            finally:
                _testcapi.remove_mem_hooks()
            outcomes.add(result is None)
    assert outcomes == {True, False}
    assert _core.decode_certificate(certificate.der) == whole
