"""A simulated factory: machines that report positions, loads and whether they are available."""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from headgate import Message, node

MACHINES = ("PROVER3018", "WELDER42", "LATHE7")


@node(output="assets")
async def simulate() -> AsyncIterator[list[Message[Any]]]:
    """Ten times a second, what each machine has to say."""
    dice = random.Random(3018)
    tick = 0
    while True:
        yield [message for machine in MACHINES for message in report(machine, tick, dice)]
        tick += 1
        await asyncio.sleep(0.1)


def report(machine: str, tick: int, dice: random.Random) -> list[Message[Any]]:
    """One machine's changed data items, keyed by the machine."""
    angle = tick / 20 + MACHINES.index(machine)
    items = {"Zact": round(math.sin(angle), 3), "Sload": round(50 + 30 * math.cos(angle) + dice.random(), 1)}
    messages = [item(machine, name, "Samples", str(value)) for name, value in items.items()]
    if tick % 50 == 0:
        available = "AVAILABLE" if dice.random() > 0.1 else "UNAVAILABLE"
        messages.append(item(machine, "avail", "Events", available))
    return messages


def item(machine: str, name: str, kind: str, value: str) -> Message[Any]:
    """A change of one data item."""
    tag = {"Zact": "Position", "Sload": "Load", "avail": "Availability"}[name]
    timestamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    attributes = {"name": name, "timestamp": timestamp}
    return Message(
        key=machine.encode(),
        value={"id": name, "tag": tag, "type": kind, "attributes": attributes, "value": value},
    )
