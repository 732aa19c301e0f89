"""`handclasp.serve`: the server around an application of this process.

The calling process becomes the only worker: the application runs here, with its threads, its
debugger and its breakpoints. The front is a child process that holds the server's key; between the
two there are lanes, socketpairs that the front inherits. When this process ends, however it ends,
so does the front.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from handclasp._core import Crew, Lane
from handclasp.certificate import Certificate
from handclasp.client import Client
from handclasp.worker import make_crew, report

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Option", "ServeError", "Server", "find_binary", "serve"]

Option = str | int | float | bool | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None

_START_S = 60.0  # until the front listens; a large CRL takes seconds
_STOP_S = 40.0  # more than --graceful-timeout, 30 s by default


class ServeError(RuntimeError):
    """The front did not come up, or ended by itself. Its log (standard error) says why."""


def find_binary() -> str:
    """The path of the program `handclasp`: this environment's, or else the first in PATH.

    FileNotFoundError where there is none.
    """
    folder = sysconfig.get_path("scripts")
    found = shutil.which("handclasp", path=folder) or shutil.which("handclasp")
    if found is None:
        raise FileNotFoundError(
            f"the program 'handclasp' is neither in {folder} nor in PATH: "
            "install the package into this environment"
        )
    return found


def flags(options: Mapping[str, Option]) -> list[str]:
    """Keyword arguments as flags of `handclasp serve`.

    `client_cert="optional"` becomes `--client-cert=optional`, True a flag alone, a list one flag
    for each; None and False leave it out.
    """
    out: list[str] = []
    for name, value in options.items():
        flag = "--" + name.strip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            out.append(flag)
            continue
        single = isinstance(value, (str, int, float, os.PathLike))
        for one in (value,) if single else value:  # type: ignore[union-attr]
            out.append(f"{flag}={os.fspath(one) if isinstance(one, os.PathLike) else one}")
    return out


def _bind(host: str, port: int) -> str:
    if host.startswith("unix:"):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Server:
    """A front in a child process, and the lanes to it, for an application of this process.

        with Server(app, port=0, options={"state": ".handclasp"}) as server:
            print(server.url)     # it answers, in threads of this process, until the block ends

    host, port: where to listen; port 0 takes a free one. The option `bind` is used instead where it
        is given.
    threads: how many requests are answered at once.
    binary: the program; `find_binary()` where None.
    stderr: where the front's log goes, a descriptor; None: where this process's goes.
    options: those of `handclasp serve`, with `_` for `-`.
    """

    def __init__(
        self,
        app: WSGIApplication,
        host: str = "127.0.0.1",
        port: int = 8443,
        *,
        threads: int = 4,
        binary: str | None = None,
        stderr: int | None = None,
        options: Mapping[str, Option] | None = None,
    ) -> None:
        if not callable(app):
            raise TypeError(f"a WSGI application is callable, and {app!r} is not")
        if threads < 1:
            raise ValueError(f"threads must be 1 or more, not {threads}")
        self._app = app
        self._threads = threads
        self._binary = binary
        # The last two are what the front tells the application (wsgi.multiprocess, .multithread).
        own: dict[str, Option] = {"bind": _bind(host, port), "workers": 1, "threads": threads}
        self._flags = flags({**own, **(options or {})})
        self._stderr = stderr
        self._front: subprocess.Popen[bytes] | None = None
        self._parent: socket.socket | None = None
        self._lanes: list[Lane] = []
        self._crew = Crew(())
        self._running: list[threading.Thread] = []
        self._addresses: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The first address it listens on, such as "https://127.0.0.1:8443"; RuntimeError before it
        listens."""
        if not self._addresses:
            raise RuntimeError("the server does not listen yet")
        return self._addresses[0]

    def start(self) -> None:
        """Starts the front and the threads; returns once requests are accepted.

        ServeError where the front gives up, OSError where it cannot be started.
        """
        self._launch()
        try:
            for number in range(self._threads):
                thread = threading.Thread(
                    target=_serve_lanes, args=(self._crew,), name=f"handclasp-{number}", daemon=True
                )
                thread.start()
                self._running.append(thread)
            self._wait_listening()
        except BaseException:
            self.stop(grace_s=0)
            raise

    def wait(self) -> None:
        """Until the front ends by itself, which is an error: ServeError."""
        assert self._parent is not None
        while self._parent.recv(4096):
            pass
        raise self._ended()

    def run_here(self) -> None:
        """Instead of `start` and `wait`, with one thread: answers requests in the calling one."""
        if self._threads != 1:
            raise RuntimeError("with more than one thread there are threads to be started")
        self._launch()
        self._crew.serve()
        raise self._ended()

    def stop(self, grace_s: float = _STOP_S) -> None:
        """Lets the front finish what runs and end, then ends the threads. Calling it again does no
        harm. After `grace_s` seconds what still runs is cut off."""
        if self._parent is not None:
            self._parent.close()
            self._parent = None
        if self._front is not None:
            # Lanes that nobody serves would keep the front waiting for its last request.
            if not self._running:
                self._close_lanes()
            try:
                self._front.wait(grace_s if grace_s > 0 else 0.5)
            except subprocess.TimeoutExpired:
                self._front.kill()
                self._front.wait()
            except BaseException:
                self._front.kill()
                self._front.wait()
                raise
        deadline = time.monotonic() + 1
        for thread in self._running:  # where a view hangs, all of them wait for its lane
            thread.join(max(0.0, deadline - time.monotonic()))
        self._running.clear()
        self._close_lanes()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        if self._front is not None:
            raise RuntimeError("a Server is started once")
        with contextlib.ExitStack() as theirs:
            pairs = [socket.socketpair() for _ in range(self._threads)]
            self._parent, told = socket.socketpair()
            theirs.enter_context(told)
            inherited = [theirs.enter_context(their_end) for _, their_end in pairs]
            self._lanes = [self._lane(our_end) for our_end, _ in pairs]
            self._crew = make_crew(self._lanes)
            descriptors = [end.fileno() for end in inherited]
            command = [
                self._binary or find_binary(),
                "serve",
                "--inherit-lanes=" + ",".join(map(str, descriptors)),
                f"--parent-fd={told.fileno()}",
                *self._flags,
            ]
            # A group of its own: ^C in the debugger is not for the front.
            self._front = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=(*descriptors, told.fileno()),
                process_group=0,
            )

    def _lane(self, end: socket.socket) -> Lane:
        return Lane(
            end.detach(),
            self._app,
            certificate=Certificate,
            client=Client._of,
            report=report,
            errors=sys.stderr,
            multithread=self._threads > 1,
            multiprocess=False,
        )

    def _close_lanes(self) -> None:
        for lane in self._lanes:
            with contextlib.suppress(RuntimeError):  # a view hangs: its thread will close the lane
                lane.close()
        self._lanes.clear()

    def _wait_listening(self) -> None:
        assert self._parent is not None
        line = b""
        self._parent.settimeout(_START_S)
        try:
            while not line.endswith(b"\n"):
                octets = self._parent.recv(4096)
                if not octets:
                    raise self._ended()
                line += octets
        except TimeoutError:
            raise ServeError(f"the server does not listen after {_START_S:.0f} s") from None
        self._parent.settimeout(None)
        self._addresses = tuple(line.decode().strip().split(", "))

    def _ended(self) -> ServeError:
        assert self._front is not None
        try:
            status = self._front.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            return ServeError("the server does not answer")
        return ServeError(f"the server has ended with status {status}; its log says why")


def _serve_lanes(crew: Crew) -> None:
    # The front's end, and with it every request's, is what closes a lane.
    while True:
        try:
            crew.serve()
            return
        except KeyboardInterrupt:
            # ^C goes to the main thread: this one was raised by a view, and ends its request alone.
            # Without this thread the next client might wait for one.
            continue
        except OSError as problem:
            print(f"handclasp: a lane broke: {problem}", file=sys.stderr)
            return


def serve(
    app: WSGIApplication,
    host: str = "127.0.0.1",
    port: int = 8443,
    *,
    threads: int = 4,
    **options: Option,
) -> None:
    """Serves a WSGI application (PEP 3333) over two-way TLS, in this process, until ^C: what
    `app.run(ssl_context=...)` is for, with every option of `handclasp serve`.

        handclasp.serve(app, port=8443)                              # keys as `handclasp init` made
        handclasp.serve(app, certfile="server.pem", keyfile="server.key", ca_certs=["ca.pem"],
                        client_cert="optional")

    host: the address to listen on; the option `bind` wins.
    port: TCP port; 0 takes a free one, which the log names.
    threads: how many requests are answered at once. With 1 they are answered in the calling thread,
        as `breakpoint()` likes it.
    options: `--client-cert optional` is `client_cert="optional"`; a list repeats the option; True
        is a flag without a value.

    Raises ServeError where the server cannot start or ends by itself (its log says why), OSError
    where its program cannot be run.
    """
    server = Server(app, host, port, threads=threads, options=options)
    try:
        if threads == 1:
            server.run_here()
        else:
            server.start()
            server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
