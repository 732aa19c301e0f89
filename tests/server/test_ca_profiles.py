"""Profiles of `handclasp.yaml`, from one certificate to the next."""

from __future__ import annotations

import pytest
from cryptography import x509
from test_ca_commands import Authority


@pytest.fixture
def authority(program, tmp_path) -> Authority:
    found = Authority(program, tmp_path / "s")
    assert program.run("init", "--state", found.state).returncode == 0
    return found


METERS = """\
profiles:
  meter:
    like: device
    keys: [ed25519]
    lifetime: 30d
    subject: CN={name}, OU=Meters
    crl-url: http://pki.example.org/ca.crl
  brief:
    like: client
    lifetime: 7d
"""


@pytest.mark.parametrize(
    "profile, san",
    [("meter", "DNS:m.example"), ("device", "DNS:m.example"), ("client", "email:m@m.example"), ("brief", "")],
)
def test_a_renewal_is_by_the_profile_of_the_old_certificate(authority, profile, san):
    config = authority.state / "handclasp.yaml"
    config.write_text(config.read_text() + METERS)
    authority.do("issue", "m", "--profile", profile, *(["--san", san] if san else []))
    authority.do("renew", "m")
    old, new = authority.certificate("m"), authority.certificate("m-2")
    own = x509.SubjectKeyIdentifier.oid
    assert new.subject == old.subject
    assert [e for e in new.extensions if e.oid != own] == [e for e in old.extensions if e.oid != own]
    assert new.not_valid_after_utc - new.not_valid_before_utc == old.not_valid_after_utc - old.not_valid_before_utc
    assert type(new.public_key()) is type(old.public_key())


def test_where_no_profile_fits_the_operator_chooses_one(authority):
    config = authority.state / "handclasp.yaml"
    before = config.read_text()
    config.write_text(before + METERS)
    authority.do("issue", "m", "--profile", "meter")
    config.write_text(before + METERS.replace("OU=Meters", "OU=Devices"))
    assert "--profile" in authority.refuse("renew", "m")
    assert not (authority.state / "clients/m-2.key").exists()
    authority.do("renew", "m", "--profile", "meter")
    assert "Devices" in authority.certificate("m-2").subject.rfc4514_string()


def test_a_profile_that_is_wrong_is_told_by_check_config(authority, program):
    config = authority.state / "handclasp.yaml"
    config.write_text(config.read_text() + "profiles:\n  client:\n    lifetime: 1s\n")
    done = program.run("check-config", "--state", authority.state)
    assert done.returncode == 1, done.stdout
    assert "lifetime: 1h to 7300d is wanted" in done.stderr
