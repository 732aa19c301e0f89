"""The worker's side of a lane: requests in, the application called, responses out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, Final, Literal, Protocol, TextIO, TypedDict, final

from _typeshed.wsgi import WSGIApplication

__version__: Final[str]
LANE_PROTOCOL: Final[int]

class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

@final
class FileWrapper(Iterator[bytes]):
    """``wsgi.file_wrapper``: a plain file is sent by the front, anything else is read."""

    def __init__(self, filelike: IO[bytes] | _Readable, blksize: int = 65536) -> None: ...
    @property
    def filelike(self) -> Any: ...
    @property
    def blksize(self) -> int: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...

@final
class Lane:
    """One end of a lane to the front, and the WSGI application that answers on it."""

    def __init__(
        self,
        fd: int,
        app: WSGIApplication,
        *,
        certificate: Callable[[bytes, tuple[bytes, ...], Mapping[str, str]], object],
        client: Callable[[Lane, str, str, str], object],
        report: Callable[[dict[str, Any], BaseException | str], None],
        errors: TextIO,
        after: Callable[[], None] | None = None,
        multithread: bool = False,
        multiprocess: bool = False,
    ) -> None: ...
    def ask(self, client: object, question: bytes, /) -> bytes:
        """What the authority answers about the client of the request that is being answered. From
        any thread; one at a time.

        Raises:
            RuntimeError: `client` is not that one's `handclasp.client`: its request is over.
            OSError: the front has gone.
        """
    def stop(self) -> None:
        """Ends the lane when what the front has sent is answered. From any thread."""
    def close(self) -> None: ...
    def fileno(self) -> int: ...

@final
class Crew:
    """The lanes of a process, for the threads that serve them: a thread that has the interpreter's
    lock takes the next request, on whichever lane it came. A lane belongs to one crew."""

    def __init__(self, lanes: Iterable[Lane], /) -> None: ...
    def serve(self) -> None:
        """Says hello on one lane, then answers requests on all of them, until the front has closed
        each or stop() was called on it. For as many threads as there are lanes.

        A lane that ends is closed; one that breaks as well, which ends the others' service not.

        Raises:
            KeyboardInterrupt: after ^C, or from the application; serve() may be called again.
            RuntimeError: the front broke the protocol on a lane.
            OSError: a descriptor failed.
        """
    def forget(self) -> None:
        """For a forked child: closes the lanes here alone. What still runs on them has lost its
        front."""

class DecodedCertificate(TypedDict):
    """Names are lists of RDNs, these lists of (type, OID, value); times are seconds since 1970."""

    serial: str
    subject: list[list[tuple[str, str, str]]]
    issuer: list[list[tuple[str, str, str]]]
    sans: list[tuple[Literal["dns", "email", "uri", "ip", "upn", "other"], str]]
    not_before: int
    not_after: int
    public_key_type: str
    public_key_bits: int

def decode_certificate(der: bytes, /) -> DecodedCertificate:
    """What a certificate says, by OpenSSL.

    Raises:
        ValueError: it cannot be represented exactly, or is no certificate in DER.
    """

def certificate_variables(der: bytes, /) -> dict[str, str]:
    """The ``SSL_CLIENT_…`` variables of a client's certificate, as they are in environ (PEP 3333).

    Raises:
        ValueError: as decode_certificate.
    """

def make_test_certificate(
    subject: Sequence[tuple[str, str]],
    serial: str,
    not_before: int,
    not_after: int,
    sans: Sequence[tuple[str, str]],
) -> bytes:
    """The DER of a client certificate whose key is thrown away: for tests without TLS.

    Args:
        subject: (short name or OID, value), in order.
        serial: hex.
        not_before: seconds since 1970, as is not_after.
        sans: ("dns", "email", "uri" or "ip", value).

    Raises:
        ValueError: OpenSSL refuses a value.
    """
