"""Row 5: a Kafka broker that is away, and one that is killed again and again under load."""

import asyncio
import random
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.errors import TransportError
from headgate.transport.base import Sink, StreamSettings
from headgate.transport.kafka import KafkaTransport
from tests.faults.result import Result
from tests.services.kafka import KafkaBroker

# A broker that was killed is let in again as soon as its old session is over.
QUICK = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}
SENDERS, PER_SECOND = 16, 2000


def row_5(factor: float) -> Result:
    """Brokers away for 5 and for 60 seconds, and killed twenty times, at 2,000 messages a second."""
    kills = max(1, round(20 * factor))
    pauses = [5 * min(1, factor), 60 * min(1, factor)]
    with KafkaBroker(QUICK, controllable=True) as broker:
        outcome = asyncio.run(under_load(broker, [*pauses, *([0.0] * kills)]))
    figures = (
        f"{kills} kills, away {pauses[0]:.0f} s and {pauses[1]:.0f} s: {len(outcome.acked)} acknowledged, "
        f"{outcome.refused} refused, {outcome.lost} lost, {outcome.doubled} doubled"
    )
    return Result(5, "kafka: broker killed", figures, passed=outcome.kept_its_word)


@dataclass
class Outcome:
    """What was acknowledged, and what is on the topic."""

    acked: set[int] = field(default_factory=set)
    refused: int = 0
    found: Counter[int] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        return len(self.acked - self.found.keys())

    @property
    def doubled(self) -> int:
        return sum(count - 1 for count in self.found.values())

    @property
    def kept_its_word(self) -> bool:
        return bool(self.acked) and not self.lost and not self.doubled


async def under_load(broker: KafkaBroker, pauses: list[float], *, rate: float = PER_SECOND) -> Outcome:
    """Kill the broker for each pause, start it again after so many seconds, and count."""
    topic = await asyncio.to_thread(broker.create_topic, partitions=3)
    stream = StreamSettings("numbers", topic=topic)
    outcome, stop = Outcome(), asyncio.Event()
    transport = KafkaTransport(bootstrap_servers=broker.bootstrap, group_id=uuid.uuid4().hex, send_timeout=20)
    try:
        sink = await transport.open_sink(stream)
        senders = [asyncio.create_task(_send(sink, number, SENDERS / rate, outcome, stop)) for number in range(SENDERS)]
        dice = random.Random(5)
        for pause in pauses:
            await _more(outcome, dice.randrange(200, 1500))
            await asyncio.to_thread(broker.kill)
            await asyncio.sleep(pause)
            await asyncio.to_thread(broker.start)
        await _more(outcome, 500)
        stop.set()
        await asyncio.gather(*senders)
        outcome.found = await _found(transport, stream)
    finally:
        await transport.close()
    return outcome


async def _more(outcome: Outcome, count: int) -> None:
    """Return when so many more were acknowledged."""
    wanted, deadline = len(outcome.acked) + count, time.monotonic() + 90
    while len(outcome.acked) < wanted:
        assert time.monotonic() < deadline, "nothing is acknowledged any more"
        await asyncio.sleep(0.05)


async def _send(sink: Sink, sender: int, interval: float, outcome: Outcome, stop: asyncio.Event) -> None:
    """One number after the other. One that is refused is not sent again: its fate is unknown."""
    number = sender
    while not stop.is_set():
        number += SENDERS
        try:
            await sink.send([Message(value=b"%d" % number, key=b"%d" % sender)])
            outcome.acked.add(number)
        except TransportError:
            outcome.refused += 1
        await asyncio.sleep(interval)


async def _found(transport: KafkaTransport, stream: StreamSettings) -> "Counter[int]":
    extent = await transport.extent(stream)
    source = await transport.open_source(stream, Oldest())
    found: Counter[int] = Counter()
    # Transaction-free topics have an offset for each message, so their number says when all were read.
    async with asyncio.timeout(90):
        while found.total() < extent.messages:
            found.update(int(message.value) for message in (await source.read(5000)).messages)
    return found
