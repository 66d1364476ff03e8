"""Two simulated beam monitors: neutrons come in pulses, most of them after 30 and after 70 milliseconds."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec

from headgate import Config, Message, StreamId, node

MONITORS = ("left", "right")
PULSE = 1 / 14  # seconds between two pulses


class Beam(msgspec.Struct):
    """What may be set while it runs."""

    rate: Annotated[int, msgspec.Meta(ge=0, le=1_000_000, description="neutrons per second")] = 1000


@node(output="monitor_events")
async def pulses(config: Config[Beam]) -> AsyncIterator[list[Message[Any]]]:
    """What each monitor saw of a pulse: the milliseconds after which its neutrons came."""
    dice = random.Random(14)
    while True:
        yield [
            Message(value=seen(dice, round(config(name).rate * PULSE)), stream=StreamId("monitor_events", name))
            for name in MONITORS
        ]
        await asyncio.sleep(PULSE)


def seen(dice: random.Random, count: int) -> list[float]:
    """The times of so many neutrons."""
    return [round(dice.gauss(*dice.choice([(30, 6), (70, 3)])), 3) for _ in range(count)]
