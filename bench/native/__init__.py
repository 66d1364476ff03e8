"""The C side of the bench: programs that cost next to nothing themselves, compiled when they are needed."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

_SOURCES = Path(__file__).parent


def compiled(name: str, folder: Path) -> Path:
    """The program `name`, made in `folder`."""
    program = folder / name
    subprocess.run(["gcc", "-std=c11", "-O2", "-Wall", "-o", program, _SOURCES / f"{name}.c"], check=True)
    return program


@dataclass(frozen=True)
class Tick:
    """What is published at once: a file of requests, how many answers they get, and how many events they bring."""

    file: Path
    answers: int
    events: int


class Crowd:
    """Subscribers of one server, all open; idle until a rate is asked for."""

    def __init__(self, client: Path, port: int, path: str, count: int) -> None:
        self._process = subprocess.Popen(
            [client, str(port), path, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # the end of its input is the end of the client

    def rate(self, tick: Tick, seconds: float) -> float:
        """Events per second to all of them together; a tick is published when the one before has come."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{tick.file} {tick.answers} {tick.events} {seconds}\n")
        self._process.stdin.flush()
        counted = self._answer()
        return float(counted["events"] / counted["seconds"])

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the client gave up; it said why on standard error")
        return json.loads(line)
