"""The histograms of monitor_data, live in a terminal; keys change how they are made, by the config channel.

Usage: python viewer.py [--url http://127.0.0.1:8011] [--codec da00] [--once]
"""

import argparse
import asyncio
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from headgate import HeadgateError, HTTPMessageSource, Message
from headgate.app.plugins import make_codec
from headgate.client.config import ConfigClient

BARS = " ▁▂▃▄▅▆▇█"
KEYS = "[+] more bins  [-] fewer bins  [n] begin anew  [q] quit"
SERVICE = "monitor_data"


class Monitor:
    """What is shown of one monitor."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.rate = 0.0
        self._made = 0

    def take(self, made: int, counts: list[int]) -> None:
        """A newer result."""
        grown = sum(counts) - sum(self.counts)
        if len(counts) == len(self.counts) and grown >= 0 and made > self._made > 0:
            self.rate = grown / (made - self._made) * 1e9
        self.counts, self._made = counts, made

    def draw(self, width: int, height: int = 8) -> Text:
        """The counts as bars."""
        columns = squeezed(self.counts, width)
        most = max([*columns, 1])
        levels = [round(count / most * height * 8) for count in columns]
        rows = ("".join(BARS[min(8, max(0, level - row * 8))] for level in levels) for row in reversed(range(height)))
        return Text("\n".join(rows))


def squeezed(counts: list[int], width: int) -> list[int]:
    """The same counts in no more columns than fit."""
    step = -(-len(counts) // width) or 1
    return [sum(counts[at : at + step]) for at in range(0, len(counts), step)]


def facts(result: Any) -> tuple[str, int, list[int]]:
    """Name, time and counts of a result, as JSON or as da00."""
    if isinstance(result, dict):
        return result["source_name"], result["timestamp_ns"], result["data"][0]["data"]
    return result.source_name, result.timestamp_ns, result.data[0].data.tolist()


class Viewer:
    """All that is on the screen."""

    def __init__(self, source: HTTPMessageSource[Any], config: ConfigClient, width: int) -> None:
        self.monitors: dict[str, Monitor] = {}
        self.said = KEYS
        self.source, self._config, self._width = source, config, width

    def take(self, messages: list[Message[Any]]) -> None:
        """What came."""
        for message in messages:
            name, made, counts = facts(message.value)
            self.monitors.setdefault(name, Monitor()).take(made, counts)

    def draw(self) -> Group:
        """The screen."""
        panels = [
            Panel(
                monitor.draw(self._width),
                title=f"{name}: {sum(monitor.counts)} counts in {len(monitor.counts)} bins, {monitor.rate:.0f}/s",
            )
            for name, monitor in sorted(self.monitors.items())
        ]
        trouble = f"{self.source.url}: {self.source.trouble}" if self.source.trouble else self.said
        return Group(*panels, Text(trouble))

    async def press(self, key: str) -> None:
        """Do what a key means."""
        bins = max((len(monitor.counts) for monitor in self.monitors.values()), default=50)
        try:
            if key in "+-":
                await self._set("bins", bins * 2 if key == "+" else bins // 2)
            elif key == "n":
                values = await self._config.values()
                await self._set("run", values.get(f"*/{SERVICE}/run", 0) + 1)
        except HeadgateError as error:
            self.said = f"refused: {error}"

    async def _set(self, name: str, value: int) -> None:
        ack = await self._config.set(f"*/{SERVICE}/{name}", value)
        self.said = f"{name} = {value}: {ack['response']}   {KEYS}"


@contextmanager
def keys() -> Iterator["asyncio.Queue[str]"]:
    """The keys that are pressed, one by one and without an echo."""
    pressed: asyncio.Queue[str] = asyncio.Queue()
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        loop.add_reader(descriptor, lambda: pressed.put_nowait(sys.stdin.read(1)))
        yield pressed
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def watch(viewer: Viewer, console: Console) -> None:
    """Show what comes until somebody quits."""

    async def poll() -> None:
        while True:
            viewer.take(list(await asyncio.to_thread(viewer.source.get_messages)))
            live.update(viewer.draw())

    with keys() as pressed, Live(viewer.draw(), console=console, screen=True) as live:
        polling = asyncio.ensure_future(poll())
        while not polling.done():
            waiting = asyncio.ensure_future(pressed.get())
            await asyncio.wait({waiting, polling}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done() and (key := waiting.result()) != "q":
                await viewer.press(key)
            else:
                waiting.cancel()
                polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)


async def main() -> None:
    """Read the command line and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8011", help="where monitor_data is")
    parser.add_argument("--codec", default="json", help="json or da00: what the results are written in")
    parser.add_argument("--once", action="store_true", help="print what there is, and end")
    asked = parser.parse_args()
    console = Console()
    codec = make_codec(asked.codec, {})
    start = "last:100" if asked.once else "last:2"
    source = HTTPMessageSource[Any](f"{asked.url}/messages", serializer=codec, start=start, wait=1.0)
    with source:
        async with ConfigClient(asked.url) as config:
            viewer = Viewer(source, config, min(console.width - 4, 160))
            if asked.once:
                viewer.take(list(source.get_messages()))
                console.print(viewer.draw())
            else:
                await watch(viewer, console)


if __name__ == "__main__":
    asyncio.run(main())
