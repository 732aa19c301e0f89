"""May this certificate come in, and as whom? By the same C code as `handclasp serve`."""

from collections.abc import Callable
from typing import Final, Self, final

__version__: Final[str]

#: Verdict, OpenSSL's X509_V_ERR_…, its depth, detail, SSL_CLIENT_VERIFY, days left, and the client's
#: record: name, roles with a space between two, attributes as JSON.
Answer = tuple[str, int, int, str, str, int, tuple[str, str, str] | None]
Source = tuple[str, bytes]

@final
class Caller:
    """A certificate that was handed over, and what is known of it."""

    @property
    def variables(self) -> dict[str, str]:
        """SSL_CLIENT_…: what does not change. To be copied, never written to."""

@final
class Door:
    """CAs, CRLs and a registry that a thread follows, from a process's first question on.

    Args:
        cas: name and PEM of each file of CA certificates.
        crls: likewise, of revocation lists.
        registry: its URL; None: the CAs alone decide.
        base: the folder that a relative path in it starts from.
        admit_unknown: who is not in the registry comes in, as nobody known.
        max_age_ms: how long an index that could not be compared with its database is believed.
        report: called with what is wrong with the registry, and with None when it is over, at the
            next question.

    Raises:
        ValueError: a file is not what it should be, or the URL is none.
    """

    def __new__(
        cls,
        cas: list[Source],
        crls: list[Source],
        *,
        registry: str | None = None,
        base: str | None = None,
        admit_unknown: bool = False,
        max_age_ms: int = 10000,
        report: Callable[[str | None], object] | None = None,
    ) -> Self: ...
    def caller(self, leaf: bytes, chain: tuple[bytes, ...], /) -> Caller:
        """Raises ValueError for what cannot be read exactly."""
    def check(self, caller: Caller, /) -> Answer:
        """As things stand now; the same object as long as nothing changes. Raises ValueError where no
        decision is possible, TypeError for another door's caller."""
    def load(self, cas: list[Source], crls: list[Source], /) -> None:
        """Replaces both. Raises ValueError, and what was there stays."""
    def close(self) -> None:
        """Ends the thread; the next question starts another one."""
