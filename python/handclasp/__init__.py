"""Two-way TLS for Flask and other WSGI applications: the Python side of the server `handclasp`.

`handclasp.flask` is the Flask extension, `handclasp.certificate` what a client certificate looks
like to an application, `handclasp.testing` helps to test without TLS, `serve` runs an application
from Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handclasp._serve import serve as serve

__version__ = "0.1.0"
__all__ = ["__version__", "serve"]


def __getattr__(name: str) -> Any:
    # Every worker imports this package: what `serve` needs is loaded when asked for (PEP 562).
    if name == "serve":
        from handclasp._serve import serve

        return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
