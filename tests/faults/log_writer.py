"""A writer that is going to be killed: `python -m tests.faults.log_writer FILE WRITER FIRST` publishes numbers.

It prints a number when it is acknowledged, and not before.
"""

import asyncio
import sys
from pathlib import Path

from headgate.core.message import Message
from headgate.transport.base import StreamSettings
from headgate.transport.log import LogTransport

STREAM = StreamSettings("numbers", keep_messages=10_000_000)
BATCH = 5


async def write(path: Path, writer: str, first: int) -> None:
    """Publish `writer:number` without end."""
    log = LogTransport(path=path)
    sink = await log.open_sink(STREAM)
    while True:
        numbers = range(first, first + BATCH)
        await sink.send([Message(value=f"{writer}:{number}".encode()) for number in numbers])
        print("".join(f"{number}\n" for number in numbers), end="", flush=True)
        first += BATCH


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
