"""The worker's side of a lane: requests in, the application called, responses out."""

from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Final, Protocol, TextIO, final

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
        report: Callable[[dict[str, Any], BaseException | str], None],
        errors: TextIO,
        after: Callable[[], None] | None = None,
        multithread: bool = False,
        multiprocess: bool = False,
    ) -> None: ...
    def serve(self) -> None:
        """Says hello, then answers requests until the front closes the lane or stop() is called.

        Raises:
            RuntimeError: the front broke the protocol.
            OSError: the descriptor failed.
        """
    def stop(self) -> None:
        """Lets serve() return when what the front has sent is answered. From any thread."""
    def close(self) -> None: ...
    def fileno(self) -> int: ...
