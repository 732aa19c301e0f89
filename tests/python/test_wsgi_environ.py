"""What the application sees: environ, wsgi.input and the typed keys."""

import gc
import io
import os
import sys
import tempfile

import pytest
from lane_fixture import Served, serve_fixture  # noqa: F401
from lane_peer import NO_SLOT, LaneClosed, frame, request_frame
from wsgi_apps import PLAIN

import handclasp


@pytest.fixture
def see(serve):
    """see(…) sends a request to an application that does nothing and gives its environ."""
    seen = []

    def app(environ, start_response):
        seen.append(environ)
        start_response("200 OK", PLAIN)
        return []

    front = serve(app, validate=False)

    def send(*arguments, **keywords):
        assert front.ask(*arguments, **keywords).status == 200
        return seen[-1]

    send.front = front
    return send


def test_environ_is_a_dict_of_str(see):
    see.front.send_cert(3, [("SSL_CLIENT_S_DN", "CN=alice")])
    environ = see("POST", "/a?b", body=b"x", slot=3, remote_user="alice")
    assert type(environ) is dict
    for key, value in environ.items():
        assert type(key) is str
        if "." not in key:
            assert type(value) is str


def test_environ_has_what_pep_3333_asks_for(see):
    environ = see("POST", "/a/b%20c?x=1&y=%20", path="/a/b c", body=b"abc")
    expected = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b c",
        "QUERY_STRING": "x=1&y=%20",
        "REQUEST_URI": "/a/b%20c?x=1&y=%20",
        "RAW_URI": "/a/b%20c?x=1&y=%20",
        "CONTENT_LENGTH": "3",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": f"handclasp/{handclasp.__version__}",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "HTTP_HOST": "localhost:8443",
        "HTTPS": "on",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {key: environ[key] for key in expected} == expected
    assert "CONTENT_TYPE" not in environ


def test_environ_has_mod_ssls_names_of_the_connection(see):
    environ = see(
        client_verify="FAILED:certificate has expired",
        tls_protocol="TLSv1.2",
        tls_cipher="ECDHE-RSA-AES128-GCM-SHA256",
        cipher_bits=128,
        cipher_algorithm_bits=128,
        tls_session_id="00aaff",
        resumed=1,
        tls_sni="shop.example",
    )
    ssl = {key: value for key, value in environ.items() if key.startswith("SSL_")}
    assert ssl == {
        "SSL_CLIENT_VERIFY": "FAILED:certificate has expired",
        "SSL_PROTOCOL": "TLSv1.2",
        "SSL_CIPHER": "ECDHE-RSA-AES128-GCM-SHA256",
        "SSL_CIPHER_USEKEYSIZE": "128",
        "SSL_CIPHER_ALGKEYSIZE": "128",
        "SSL_SESSION_ID": "00aaff",
        "SSL_SESSION_RESUMED": "Resumed",
        "SSL_TLS_SNI": "shop.example",
    }


def test_what_the_connection_does_not_have_is_not_set(see):
    see(tls_session_id="aa", tls_sni="a.example", remote_user="alice")
    environ = see(tls_session_id="", tls_sni="", resumed=0)
    for name in (
        "SSL_SESSION_ID",
        "SSL_TLS_SNI",
        "SSL_CLIENT_V_REMAIN",
        "REMOTE_USER",
        "AUTH_TYPE",
    ):
        assert name not in environ
    assert environ["SSL_SESSION_RESUMED"] == "Initial"


def test_a_remote_user_comes_with_its_kind(see):
    environ = see(remote_user="ålice")
    assert environ["REMOTE_USER"] == "ålice".encode().decode("latin-1")
    assert environ["AUTH_TYPE"] == "CLIENT_CERT"


def test_the_verdict_and_its_cause_are_typed(see):
    environ = see(
        verdict_name="expired", verdict_detail="since May", error=10, depth=2, connection=1 << 63
    )
    assert environ["handclasp.verdict"] == "expired"
    assert environ["handclasp.verdict_detail"] == "since May"
    assert environ["handclasp.error"] == 10
    assert environ["handclasp.depth"] == 2
    assert environ["handclasp.connection"] == 1 << 63
    assert environ["handclasp.client"] is None
    assert environ["handclasp.certificate"] is None


# Certificates


def test_a_certificates_variables_are_in_the_requests_that_name_its_slot(see):
    variables = [("SSL_CLIENT_S_DN_CN", "Ålice"), ("SSL_CLIENT_M_SERIAL", "0A")]
    see.front.send_cert(63, variables, der=b"leaf\0", chain=[b"one", b"two"])
    environ = see(slot=63, days_left=-1)
    text = "Ålice".encode().decode("latin-1")
    assert environ["SSL_CLIENT_S_DN_CN"] == text
    assert environ["SSL_CLIENT_M_SERIAL"] == "0A"
    assert environ["SSL_CLIENT_V_REMAIN"] == "-1"
    der, chain, given = environ["handclasp.certificate"]
    assert (der, chain) == (b"leaf\0", (b"one", b"two"))
    assert given == {"SSL_CLIENT_S_DN_CN": text, "SSL_CLIENT_M_SERIAL": "0A"}


def test_a_certificate_is_one_object_for_all_requests(see):
    see.front.send_cert(0, [])
    first = see(slot=0)["handclasp.certificate"]
    assert first is not None
    assert see(slot=0)["handclasp.certificate"] is first


def test_slots_do_not_mix(see):
    for slot in range(64):
        see.front.send_cert(slot, [(f"SSL_CLIENT_SAN_DNS_{slot}", str(slot))], der=b"%d" % slot)
    for slot in (5, 63, 5, 0):
        environ = see(slot=slot)
        assert environ["handclasp.certificate"][0] == b"%d" % slot
        assert [k for k in environ if "_SAN_" in k] == [f"SSL_CLIENT_SAN_DNS_{slot}"]
    environ = see(slot=NO_SLOT)
    assert environ["handclasp.certificate"] is None
    assert [k for k in environ if "_SAN_" in k] == []


def test_a_later_certificate_takes_its_slot_whole(see):
    see.front.send_cert(1, [("SSL_CLIENT_A_KEY", "old"), ("SSL_CLIENT_S_DN", "old")], der=b"old")
    assert see(slot=1)["SSL_CLIENT_S_DN"] == "old"
    see.front.send_cert(1, [("SSL_CLIENT_S_DN", "new")], der=b"new")
    environ = see(slot=1)
    assert (environ["SSL_CLIENT_S_DN"], environ["handclasp.certificate"][0]) == ("new", b"new")
    assert "SSL_CLIENT_A_KEY" not in environ


def test_an_application_cannot_change_what_the_next_request_sees(see):
    see.front.send_cert(1, [("SSL_CLIENT_S_DN", "CN=alice")])
    environ = see(slot=1)
    environ["SSL_CLIENT_S_DN"] = "CN=mallory"
    environ["wsgi.url_scheme"] = "http"
    del environ["handclasp.certificate"]
    environ = see(slot=1)
    assert environ["SSL_CLIENT_S_DN"] == "CN=alice"
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["handclasp.certificate"][0] == b"leaf"


def test_the_servers_variables_are_in_every_request(see):
    see.front.send_cert(1, [("SSL_CLIENT_S_DN", "CN=alice")])
    see(slot=1)
    see.front.send_server([("SSL_SERVER_S_DN", "CN=localhost")], multiprocess=True)
    for slot in (1, NO_SLOT):
        environ = see(slot=slot)
        assert environ["SSL_SERVER_S_DN"] == "CN=localhost"
        assert (environ["wsgi.multiprocess"], environ["wsgi.multithread"]) == (True, False)
    assert see(slot=1)["SSL_CLIENT_S_DN"] == "CN=alice"
    see.front.send_server([("SSL_SERVER_M_SERIAL", "01")], multithread=True)
    environ = see(slot=1)
    assert environ["wsgi.multithread"] is True
    assert environ["SSL_SERVER_M_SERIAL"] == "01"
    assert "SSL_SERVER_S_DN" not in environ


# Headers


def test_headers_become_http_variables(see):
    environ = see(headers=[("X-One", "1"), ("x-two-Three", "2"), ("ACCEPT", "*/*"), ("X9", "")])
    got = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
    assert got == {"HTTP_X_ONE": "1", "HTTP_X_TWO_THREE": "2", "HTTP_ACCEPT": "*/*", "HTTP_X9": ""}


def test_header_octets_are_carried_as_latin_1(see):
    environ = see(headers=[("X", b"\xc3\xa4\xff")])
    assert environ["HTTP_X"] == "\xc3\xa4\xff"


@pytest.mark.parametrize(
    ("headers", "key", "value"),
    [
        ([("X-A", "1"), ("B", "x"), ("x-a", "2"), ("X-A", "1")], "HTTP_X_A", "1,2,1"),
        ([("X-A", "1"), ("X-A", "1")], "HTTP_X_A", "1,1"),
        ([("X-A", ""), ("X-A", "")], "HTTP_X_A", ","),
        ([("Cookie", "a=1"), ("cookie", "b=2")], "HTTP_COOKIE", "a=1; b=2"),
    ],
)
def test_headers_of_one_name_are_joined(see, headers, key, value):
    assert see(headers=headers)[key] == value


@pytest.mark.parametrize(
    "name",
    ["X_SSL_Client", "SSL_CLIENT_VERIFY", "Content_Type", "X.Y", "X Y", "X\0", "", "X\xe4", "_",
     "X!", "X" * 100 + "_"],
)  # fmt: skip
def test_a_header_that_could_be_read_as_another_is_dropped(see, name):
    for _ in range(2):  # the second time its name is remembered
        environ = see(headers=[(name.encode("latin-1"), "spoofed")])
        assert "spoofed" not in environ.values()
        assert [key for key in environ if key.startswith("HTTP_")] == []


def test_a_header_cannot_become_a_variable_that_is_not_http(see):
    environ = see(headers=[("Remote-User", "m"), ("SSL-Client-Verify", "m"), ("wsgi-input", "m")])
    assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert "REMOTE_USER" not in environ
    assert environ["HTTP_REMOTE_USER"] == environ["HTTP_SSL_CLIENT_VERIFY"] == "m"


def test_content_type_and_length_have_names_of_their_own(see):
    environ = see(
        "POST",
        headers=[("content-TYPE", "text/x"), ("Content-Length", "3"), ("CONTENT-length", "3")],
        body=b"abc",
    )
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/x", "3")
    assert [key for key in environ if key.startswith("HTTP_")] == []


def test_a_chunked_body_has_the_length_it_turned_out_to_have(see):
    environ = see("POST", headers=[("Transfer-Encoding", "chunked")], body=b"abc")
    assert environ["CONTENT_LENGTH"] == "3"
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert see("POST", headers=[("Transfer-Encoding", "chunked")])["CONTENT_LENGTH"] == "0"


def test_no_body_has_no_length(see):
    assert "CONTENT_LENGTH" not in see()
    assert see(headers=[("Content-Length", "0")])["CONTENT_LENGTH"] == "0"


def test_many_different_headers_are_told_apart(see):
    """More than are remembered: the keys of one request never depend on the one before."""
    for start in range(0, 3000, 500):
        headers = [(f"X-{n}", str(n)) for n in range(start, start + 900)]
        environ = see(headers=headers)
        got = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
        assert got == {f"HTTP_X_{n}": str(n) for n in range(start, start + 900)}


def test_a_header_name_of_any_length_is_kept(see):
    for size in (1, 39, 40, 41, 300):
        assert see(headers=[("x" * size, "v")])["HTTP_" + "X" * size] == "v"


# SERVER_NAME


@pytest.mark.parametrize(
    ("host", "address", "port", "name", "number"),
    [
        ("shop.example:8443", "10.0.0.1", 443, "shop.example", "443"),
        ("shop.example", "10.0.0.1", 8443, "shop.example", "8443"),
        ("127.0.0.1", "10.0.0.1", 443, "127.0.0.1", "443"),
        ("[::1]:8443", "::1", 8443, "[::1]", "8443"),
        ("[::1]", "::1", 8443, "[::1]", "8443"),
        ("", "10.0.0.1", 8443, "10.0.0.1", "8443"),
        ("", "::1", 8443, "[::1]", "8443"),
        ("", "", 0, "localhost", "443"),
        (":8443", "10.0.0.1", 8443, "10.0.0.1", "8443"),
    ],
)
def test_the_servers_name_is_never_empty(see, host, address, port, name, number):
    environ = see(host=host, server_address=address, server_port=port)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, number)


def test_http_1_0_is_told(see):
    assert see(http_minor=0)["SERVER_PROTOCOL"] == "HTTP/1.0"


def test_a_path_is_carried_as_latin_1(see):
    environ = see(target="/%C3%A4%FF", path=b"/\xc3\xa4\xff")
    assert environ["PATH_INFO"] == "/\xc3\xa4\xff"


def test_equal_values_are_not_made_again_and_others_are(see):
    long = "/" + "x" * 5000
    targets = ["/a", "/a", "/b", "/a", "/ab", "", long, long + "y", "/a"]
    assert [see(target=t)["REQUEST_URI"] for t in targets] == targets


# wsgi.input


def reading(serve, read, body, *, in_file, validate=False):
    """What `read` gives for this body."""
    results = []

    def app(environ, start_response):
        results.append(read(environ["wsgi.input"]))
        start_response("200 OK", PLAIN[:])
        return [b"x"]

    front = serve(app, validate=validate)
    if in_file:
        with tempfile.TemporaryFile() as file:
            file.write(body)
            file.flush()  # and is left standing at its end, as the front's is
            front.send_with_file(file.fileno(), len(body), "POST")
        assert front.receive().failed is False
    else:
        assert front.ask("POST", body=body).failed is False
    return results[0]


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda i: i.read(), b"one\ntwo\nthree"),
        (lambda i: i.read(5) + b"|" + i.read(100) + b"|" + i.read(1), b"one\nt|wo\nthree|"),
        (lambda i: [i.readline(), i.readline(2), i.readline()], [b"one\n", b"tw", b"o\n"]),
        (lambda i: i.readlines(), [b"one\n", b"two\n", b"three"]),
        (list, [b"one\n", b"two\n", b"three"]),
        (lambda i: (i.read(), i.read(1), i.readline())[1:], (b"", b"")),
    ],
)
def test_input_reads_as_a_file(serve, read, expected, in_file):
    assert reading(serve, read, b"one\ntwo\nthree", in_file=in_file) == expected


@pytest.mark.parametrize("in_file", [False, True])
def test_input_passes_the_validator(serve, in_file):
    def read(stream):
        return stream.read(1) + stream.readline() + b"".join(stream) + stream.read(1)

    assert reading(serve, read, b"a\nb\nc", in_file=in_file, validate=True) == b"a\nb\nc"


def test_input_of_no_body_is_at_its_end(serve):
    assert reading(serve, lambda i: (i.read(), i.readline(), list(i)), b"", in_file=False) == (
        b"",
        b"",
        [],
    )


@pytest.mark.parametrize(("size", "in_file"), [(65536, False), (20_000_000, True)])
def test_input_of_a_large_body_is_whole(serve, size, in_file):
    body = os.urandom(1024) * (size // 1024)
    assert reading(serve, lambda i: i.read(), body, in_file=in_file) == body


def test_input_in_a_file_is_buffered_and_closed_after_the_request(serve):
    kept = []

    def app(environ, start_response):
        kept.append(environ["wsgi.input"])
        start_response("200 OK", PLAIN[:])
        return [b"x"]

    front = serve(app, validate=False)
    with tempfile.TemporaryFile() as file:
        file.write(b"body")
        file.flush()
        front.send_with_file(file.fileno(), 4, "POST")
        assert front.receive().failed is False
    assert type(kept[0]) is io.BufferedReader
    front.end()
    assert kept[0].closed


def test_the_descriptor_of_a_body_is_not_inherited(serve):
    assert reading(serve, lambda i: os.get_inheritable(i.fileno()), b"x", in_file=True) is False


def test_no_descriptor_is_left_open(serve):
    def app(environ, start_response):
        environ["wsgi.input"].read(1)
        if environ["PATH_INFO"] == "/fail":
            raise ValueError
        start_response("200 OK", PLAIN[:])
        return environ["wsgi.file_wrapper"](open("/dev/null", "rb"))

    front = serve(app)
    gc.collect()  # what other tests left is not to go meanwhile
    before = len(os.listdir("/proc/self/fd"))
    with tempfile.TemporaryFile() as file:
        file.write(b"body")
        file.flush()
        for target in ("/", "/fail"):
            front.send_with_file(file.fileno(), 4, "POST", target)
            front.receive()
    front.ask()
    assert len(os.listdir("/proc/self/fd")) == before


# A front that breaks the protocol


@pytest.mark.parametrize(
    "octets",
    [
        b"\0\0\0\0\x63\0\0\0",
        frame(17, b""),
        frame(2, b"\1"),
        frame(1, b"\1"),
        frame(3, b"\1"),
        frame(1, b"", flags=1),
        request_frame(slot=5),  # never sent
        request_frame(file_size=5),  # without its descriptor
        request_frame(headers=[("A", "b")] * 1001),
        frame(2, b"")[:-1] + b"\0" + b"x",
        request_frame()[:-1],
    ],
)
def test_a_broken_frame_ends_the_lane_with_an_exception(octets):
    def app(environ, start_response):
        raise AssertionError("was called")

    front = Served(app)
    front.peer.sendall(octets)
    if octets == request_frame()[:-1]:
        front.close()
    else:
        with pytest.raises((LaneClosed, ConnectionResetError)):
            front.read()
    assert isinstance(front.end(), RuntimeError)


def test_a_certificate_that_cannot_be_made_ends_the_lane():
    def certificate(der, chain, variables):
        raise ValueError("no certificate")

    front = Served(lambda e, s: [], certificate=certificate)
    front.send_cert(1, [])
    # The lane may be closed before the request is sent, or after.
    with pytest.raises((LaneClosed, ConnectionResetError, BrokenPipeError)):
        front.ask(slot=1)
    assert isinstance(front.end(), ValueError)
