"""`headgate up`: run several services on this machine, each in a process of its own."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

import typer

from headgate.cli.options import Overlays, load
from headgate.errors import ConfigError, HeadgateError, NotFound, Problem

Places = Annotated[
    list[Path],
    typer.Argument(help="YAML files, one for each service; a folder stands for those in its folder `services`."),
]
_COLOURS = ("36", "33", "32", "35", "34", "31")
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl
_PATIENCE = 5.0  # seconds beyond the time to drain, until a service that does not end is killed


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its file, what it is called, and how long it may take to end."""

    file: Path
    name: str
    drain_seconds: float


def command(places: Places, overlays: Overlays = None) -> None:
    """Run services together until Ctrl-C, with their logs side by side. When one ends, all do; exit 1 then."""
    services = _services(places, overlays)
    printer = _Printer(max(len(service.name) for service in services), colours=sys.stdout.isatty())
    running = [_Running(service, overlays or (), printer.line(at, service)) for at, service in enumerate(services)]
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set() if not stopping.is_set() else _kill(running))
    try:
        ended = _wait(running, stopping)
    finally:
        _stop(running)
    if ended is not None:
        raise HeadgateError(f"{ended.service.name} ended with exit code {ended.code}, so all were stopped")


def _services(places: Sequence[Path], overlays: Sequence[Path] | None) -> list[Service]:
    """The services, each checked: whatever is wrong with any of them is told before one is started."""
    found: list[Service] = []
    problems: list[Problem] = []
    for file in [file for place in places for file in _files(place)]:
        try:
            plan = load(file, overlays)
        except ConfigError as error:
            problems += error.problems
        else:
            found.append(Service(file, plan.service.name, plan.service.drain_seconds))
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    for name in {service.name for service in found}:
        files = [str(service.file) for service in found if service.name == name]
        if len(files) > 1:
            raise HeadgateError(f"{' and '.join(files)} are both called {name!r}; give each a service.name of its own")
    return found


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    files = sorted((place / "services").glob("*.yaml"))
    if not files:
        raise NotFound(f"there are no services in {place / 'services'}; name a folder that has some, or their files")
    return files


class _Running:
    """The process of a service, and the thread that hands on what it says."""

    def __init__(self, service: Service, overlays: Sequence[Path], say: Callable[[str], None]) -> None:
        self.service = service
        options = [option for overlay in overlays for option in ("-c", str(overlay))]
        self._process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-u", "-m", "headgate", "run", str(service.file), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours: each service gets one signal, and not two
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - no thread has been started that could hold a lock
            text=True,
            errors="replace",
        )
        self._listener = threading.Thread(target=self._listen, args=(say,), daemon=True)

    def _listen(self, say: Callable[[str], None]) -> None:
        output: IO[str] | None = self._process.stdout
        assert output is not None
        for line in output:
            say(line.rstrip("\n"))

    def listen(self) -> None:
        """Begin to hand on what it says."""
        self._listener.start()

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        if self.code is None:
            self._process.terminate()

    def kill(self) -> None:
        if self.code is None:
            self._process.kill()

    def end(self, seconds: float) -> None:
        """Wait until it is gone, and kill it when that takes longer."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(_PATIENCE)


class _Printer:
    """Lines of several services, each behind the name of its own."""

    def __init__(self, width: int, *, colours: bool) -> None:
        self._width = width
        self._colours = colours
        self._lock = threading.Lock()

    def line(self, at: int, service: Service) -> Callable[[str], None]:
        """What prints a line of this service."""
        prefix = f"{service.name:<{self._width}} | "
        if self._colours:
            prefix = f"\x1b[{_COLOURS[at % len(_COLOURS)]}m{prefix}\x1b[0m"

        def say(text: str) -> None:
            with self._lock:
                print(prefix + text, flush=True)

        return say


def _end_with_parent() -> None:
    """A process that is left behind by `kill -9` of this one ends, too, where the system can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() == 1:
            os._exit(1)


def _wait(running: Sequence[_Running], stopping: threading.Event) -> _Running | None:
    """Until somebody wants it to stop, or a service ended by itself: that one."""
    for one in running:
        one.listen()
    while not stopping.wait(0.1):
        if ended := next(_ended(running), None):
            return ended
    return None


def _ended(running: Sequence[_Running]) -> Iterator[_Running]:
    return (one for one in running if one.code is not None)


def _stop(running: Sequence[_Running]) -> None:
    end = time.monotonic() + max(one.service.drain_seconds for one in running) + _PATIENCE
    for one in running:
        one.ask_to_end()
    for one in running:
        one.end(end - time.monotonic())


def _kill(running: Sequence[_Running]) -> None:
    for one in running:
        one.kill()
