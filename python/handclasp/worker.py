"""One worker process: loads the application, then answers requests on its lanes.

Run by the server as ``python -m handclasp.worker MODULE:APP --lane-fds 5,6,7``; each descriptor is
one end of a socketpair to the front, and there is a thread for each. The worker has no key and no
listening socket. It ends with 0 when the front has closed all lanes (or after SIGTERM, or
``--max-requests``), 1 when a lane broke, 3 when it could not be set up, 4 when the application
could not be loaded.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import itertools
import os
import signal
import socket
import sys
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from handclasp._core import Crew, Lane

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

EXIT_LANE_BROKE = 1
EXIT_SETUP = 3
EXIT_APPLICATION = 4

#: Tried in this order where only a module is named.
DEFAULT_NAMES = ("application", "app")


class ApplicationError(Exception):
    """The application cannot be loaded; the text is one line that says what to do."""


def load_application(spec: str) -> WSGIApplication:
    """The WSGI application that ``spec`` names.

    ``MODULE``, ``MODULE:APP``, ``MODULE:package.attribute``, ``MODULE:create_app()`` or
    ``MODULE:create_app("production", debug=False)``; arguments are literals, nothing is evaluated.

    Raises:
        ApplicationError: the module or the name is not there, or what it names is no application.
            Where the application's own code failed, that exception is the cause.
    """
    module_name, _, expression = spec.partition(":")
    module = _import_module(module_name)
    if expression:
        application = _evaluate(module, module_name, expression)
    else:
        application = next((getattr(module, n) for n in DEFAULT_NAMES if hasattr(module, n)), None)
        if application is None:
            names = " or ".join(repr(name) for name in DEFAULT_NAMES)
            raise ApplicationError(
                f"module {module_name!r} has no {names}: name the application, {module_name}:NAME"
            )
    if not callable(application):
        raise ApplicationError(
            f"{spec!r} is no WSGI application: {type(application).__name__} is not callable"
        )
    return application  # type: ignore[no-any-return]


def _import_module(name: str) -> Any:
    if name.endswith(".py") and os.path.exists(name):
        guess = name[:-3].replace("/", ".")
        raise ApplicationError(f"{name!r} is no module name: did you mean {guess!r}?")
    if not all(part.isidentifier() for part in name.split(".")):
        raise ApplicationError(f"{name!r} is no module name")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        # Of the module itself or a package around it; one that it imports is its own failure.
        if missing.name and (name == missing.name or name.startswith(missing.name + ".")):
            raise ApplicationError(
                f"no module named {missing.name!r} (looked in {sys.path[0]} and the environment "
                f"of {sys.executable}): see --chdir and --pythonpath"
            ) from None
        raise ApplicationError(f"module {name!r} could not be imported") from missing
    except BaseException as failure:
        raise ApplicationError(f"module {name!r} could not be imported") from failure


def _evaluate(module: Any, module_name: str, expression: str) -> Any:
    wrong = ApplicationError(
        f"{expression!r} is neither a name nor a call with literal arguments, such as "
        "create_app('production')"
    )
    try:
        node = ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        raise wrong from None
    if not isinstance(node, ast.Call):
        return _attribute(module, module_name, node, wrong)
    factory = _attribute(module, module_name, node.func, wrong)
    try:
        arguments = [ast.literal_eval(argument) for argument in node.args]
        keywords = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg is not None}
    except ValueError:
        raise wrong from None
    if len(keywords) != len(node.keywords):  # **mapping
        raise wrong
    try:
        return factory(*arguments, **keywords)
    except BaseException as failure:
        raise ApplicationError(f"{module_name}:{expression} failed") from failure


def _attribute(module: Any, module_name: str, node: ast.expr, wrong: ApplicationError) -> Any:
    if isinstance(node, ast.Attribute):
        owner = _attribute(module, module_name, node.value, wrong)
        name = node.attr
    elif isinstance(node, ast.Name):
        owner, name = module, node.id
    else:
        raise wrong
    try:
        return getattr(owner, name)
    except AttributeError:
        raise ApplicationError(f"module {module_name!r} has no {ast.unparse(node)!r}") from None


def report(environ: dict[str, Any], problem: BaseException | str) -> None:
    """Writes what went wrong with a request to ``wsgi.errors``, in one piece."""
    target = f"{environ.get('REQUEST_METHOD', '?')} {environ.get('RAW_URI', '?')}"
    target = target.encode("unicode_escape").decode("ascii")
    if isinstance(problem, str):
        text = f"handclasp worker: {target}: {problem}\n"
    else:
        details = "".join(traceback.format_exception(problem))
        text = f"handclasp worker: {target}: the application failed\n{details}"
    errors = environ.get("wsgi.errors") or sys.stderr
    errors.write(text)
    errors.flush()


_crews: weakref.WeakSet[Crew] = weakref.WeakSet()


def _forget_crews() -> None:
    for crew in _crews:
        crew.forget()


# A child with an end of a lane would keep the front waiting for a worker that has died.
os.register_at_fork(after_in_child=_forget_crews)


def make_crew(lanes: Iterable[Lane]) -> Crew:
    """A crew whose lanes a forked child does not keep."""
    crew = Crew(lanes)
    _crews.add(crew)
    return crew


class Lanes:
    """The lanes of one process, and as many threads.

    Args:
        application: answers the requests; called from several threads at once.
        fds: stream sockets to the front; owned by the lanes from now on.
        multiprocess: ``wsgi.multiprocess``, until the front says otherwise.
        max_requests: stop after about so many requests of all lanes together; 0: no end.
    """

    def __init__(
        self,
        application: WSGIApplication,
        fds: Sequence[int],
        *,
        multiprocess: bool = False,
        max_requests: int = 0,
    ) -> None:
        from handclasp.certificate import Certificate
        from handclasp.client import Client

        self._ended: deque[BaseException | None] = deque()
        self._lanes = [
            Lane(
                fd,
                application,
                certificate=Certificate,
                client=Client._of,
                report=report,
                errors=sys.stderr,
                after=self._countdown(max_requests) if max_requests > 0 else None,
                multithread=len(fds) > 1,
                multiprocess=multiprocess,
            )
            for fd in fds
        ]
        self._crew = make_crew(self._lanes)

    def _countdown(self, max_requests: int) -> Callable[[], None]:
        if not hasattr(self, "_count"):
            self._count = itertools.count(1)
        count = self._count

        def after() -> None:
            if next(count) >= max_requests:
                self.stop()

        return after

    def stop(self) -> None:
        """Ends each lane when what the front has sent on it is answered. Does not wait."""
        for lane in self._lanes:
            lane.stop()

    def run(self) -> bool:
        """Serves until all lanes have ended; signal handlers run meanwhile. False: one broke.

        For the main thread."""
        told, tell = socket.socketpair()
        with told, tell:
            tell.setblocking(False)
            # A signal may come to another thread, or just before this one waits: neither interrupts
            # a wait, so what is waited for is an octet that the signal sends too.
            before = signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
            try:
                for number in range(len(self._lanes)):
                    threading.Thread(
                        target=self._serve, args=(tell,), name=f"lane-{number}"
                    ).start()
                return self._wait(told)
            finally:
                signal.set_wakeup_fd(before)

    def _wait(self, told: socket.socket) -> bool:
        running, whole = len(self._lanes), True
        while running:
            told.recv(4096)
            while self._ended:
                running -= 1
                failure = self._ended.popleft()
                if failure is not None:
                    whole = False
                    self.stop()
                    if not isinstance(failure, KeyboardInterrupt):
                        traceback.print_exception(failure)
        return whole

    def _serve(self, tell: socket.socket) -> None:
        failure: BaseException | None = None
        try:
            self._crew.serve()
        except BaseException as caught:  # noqa: BLE001 - a thread's end must always be told
            failure = caught
        finally:
            self._ended.append(failure)
            with contextlib.suppress(OSError):  # full, or closed: it was seen already
                tell.send(b"\0")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_SETUP, f"handclasp worker: {message}\n")


def _descriptors(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="python -m handclasp.worker", description="Run by handclasp serve.")
    parser.add_argument("application", metavar="MODULE[:APP]")
    parser.add_argument("--lane-fds", type=_descriptors, required=True, metavar="FD,FD…")
    parser.add_argument("--multiprocess", action="store_true")
    parser.add_argument("--pythonpath", action="append", default=[], metavar="DIR[,DIR…]")
    parser.add_argument("--chdir", metavar="DIR")
    parser.add_argument("--max-requests", type=int, default=0, metavar="N")
    return parser.parse_args(arguments)


def _set_up(options: argparse.Namespace) -> None:
    for fd in options.lane_fds:
        socket.socket(fileno=os.dup(fd)).close()  # OSError where it is no socket
        os.set_inheritable(fd, False)  # not for what the application starts
        os.set_blocking(fd, True)
    if options.chdir:
        os.chdir(options.chdir)
    if not sys.flags.safe_path and sys.path:
        del sys.path[0]  # where `python -m` was started
    sys.path.insert(0, os.getcwd())
    for entry in reversed([e for text in options.pythonpath for e in text.split(",") if e]):
        sys.path.insert(0, os.path.abspath(entry))
    del sys.argv[1:]  # ours, not the application's


def _print_failure(failure: BaseException) -> None:
    """The traceback, from the application's first frame on."""
    frame: TracebackType | None = failure.__traceback__
    while frame is not None:
        name = frame.tb_frame.f_code.co_filename
        if (
            name != __file__
            and name != importlib.__file__
            and not name.startswith("<frozen import")
        ):
            break
        frame = frame.tb_next
    traceback.print_exception(type(failure), failure, frame)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        _set_up(options)
    except OSError as failure:
        print(f"handclasp worker: {failure}", file=sys.stderr)
        return EXIT_SETUP
    try:
        application = load_application(options.application)
    except ApplicationError as failure:
        if failure.__cause__ is not None:
            _print_failure(failure.__cause__)
        print(f"handclasp worker: {failure}", file=sys.stderr)
        return EXIT_APPLICATION
    try:
        lanes = Lanes(
            application,
            options.lane_fds,
            multiprocess=options.multiprocess,
            max_requests=options.max_requests,
        )
        # A terminal's ^C goes to the supervisor, which then closes the lanes. No SIG_IGN: that
        # would be inherited by what the application starts.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: lanes.stop())
    except Exception:
        traceback.print_exc()
        return EXIT_SETUP
    return 0 if lanes.run() else EXIT_LANE_BROKE


if __name__ == "__main__":
    sys.exit(main())
