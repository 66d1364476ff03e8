"""The channel: reads settings from a stream into the views of a service, and publishes those that it is given."""

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from headgate.core.codec import encode_json
from headgate.core.message import Message
from headgate.core.position import At, Batch, Oldest, Position, Start
from headgate.core.settings import MOST_KEYS, Entry, Key, Settings, change, message_id_of, read_update
from headgate.errors import HeadgateError, SettingConflict, SettingRefused, StreamClosed, TransportError, Unavailable
from headgate.runtime.config.view import Declared
from headgate.runtime.stats import ConfigStats
from headgate.runtime.stream import Stream, Subscription
from headgate.runtime.tasks import Tasks, backoff, cancel
from headgate.transport.base import Ability, StreamSettings
from headgate.transport.bell import Bell, Deadline

logger = logging.getLogger("headgate.config")
NOWHERE = Position("none", {})
APPLY_SECONDS = 5.0  # for what was published to be read back
_STEP_SECONDS = 0.05  # for a read while it is not known whether that was all
_IDLE_SECONDS = 2.0  # without a message, until it is taken to be
_OUTCOMES = 1000  # of messages that somebody may still ask about


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of a message."""

    message_id: str
    device: str
    error: HeadgateError | None = None
    version: int = 0

    def told(self) -> dict[str, Any]:
        """The form that it has on the wire."""
        response, message = ("ERR", str(self.error)) if self.error else ("ACK", f"version {self.version}")
        return {"message_id": self.message_id, "device": self.device, "response": response, "message": message}


@dataclass(slots=True)
class Channel:
    """The settings of one service. `repeats` says that it looks after the stream: nobody else does."""

    stream: Stream
    declared: Declared
    acks: Stream | None = None
    repeats: bool = True
    place: Position = NOWHERE
    trouble: str | None = None
    stats: ConfigStats = field(default_factory=ConfigStats)
    settings: Settings = field(init=False)
    news: Bell = field(default_factory=Bell)
    _up: asyncio.Event = field(default_factory=asyncio.Event)
    _outcomes: OrderedDict[int, Ack] = field(default_factory=OrderedDict)
    _reading: asyncio.Task[Any] | None = None

    def __post_init__(self) -> None:
        self.settings = self._fresh()

    def _fresh(self) -> Settings:
        # Repeating all must not push out what was just repeated.
        most = max(1, self.stream.settings.keep_messages // 4)
        return Settings(self.declared.check, min(most, MOST_KEYS) if self.repeats else MOST_KEYS)

    def __repr__(self) -> str:
        return f"<Channel {self.stream.name}: {self.settings!r} at {self.place}>"

    @property
    def service(self) -> str:
        return self.declared.service

    def start(self, tasks: Tasks) -> None:
        """Begin to read."""
        self._reading = tasks.start(f"config from {self.stream.name}", self._keep_reading())

    async def stop(self) -> None:
        """Read no longer."""
        if self._reading is not None:
            await cancel(self._reading)

    async def caught_up(self, seconds: float) -> bool:
        """Wait until what the stream held at the start was read; False when that takes longer."""
        try:
            async with asyncio.timeout(seconds):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    # Setting

    async def set(self, key: Key, text: bytes, message_id: str, expects: int | None = None) -> Ack:
        """Publish a value, empty to take it away, and return when it counts here, or why it does not.

        May raise a `TransportError`; then it may be kept or not.
        """
        message = change(key, text, message_id, expects)
        try:
            self.settings.admit(_preview(key, message), expects)
        except (SettingRefused, SettingConflict) as error:
            self.stats.refused += 1
            return Ack(message_id, self.service, error)
        receipt = await self.stream.publish([message])
        return await self._outcome(receipt.epoch, receipt.offsets[-1])

    async def _outcome(self, epoch: str, offset: int) -> Ack:
        deadline = Deadline(APPLY_SECONDS)
        while not (self.place.epoch == epoch and self.place.offset > offset):
            if not await self.news.wait(deadline.left()):
                raise Unavailable(f"the setting was published, but not read back within {APPLY_SECONDS:g} s")
        return self._outcomes[offset]

    # Reading

    async def _keep_reading(self) -> None:
        attempt = 0
        while True:
            try:
                async with self.stream.subscribe(self._start()) as subscription:
                    await self._read(subscription)
            except StreamClosed:
                return
            except TransportError as error:
                self.trouble = f"settings cannot be read: {error}"
                attempt = 1 if self._up.is_set() else attempt + 1
                await asyncio.sleep(backoff(attempt, most=2.0))

    def _start(self) -> Start:
        return Oldest() if self.place == NOWHERE else At(self.place)

    async def _read(self, subscription: Subscription) -> None:
        end = (await self.stream.extent()).newest
        deadline, step = Deadline(_IDLE_SECONDS), 0.0
        while True:
            batch = await subscription.take(wait=None if self._up.is_set() else step)
            step = _STEP_SECONDS
            if batch.position.is_known:
                await self._hand_on(batch)
                # A broker may have removed what its end counts, and a peer of the older kind names no end.
                if _is_beyond(batch.position, end) or (not batch.messages and deadline.left() == 0):
                    self._up.set()

    async def _hand_on(self, batch: Batch) -> None:
        self.trouble = None
        acks = self._take(batch)
        await self._look_after(batch)
        await self._tell(acks)

    def _take(self, batch: Batch) -> list[Ack]:
        """Apply a batch, message by message; the acknowledgements of what is for this service and new."""
        if self.place.epoch not in (batch.position.epoch, NOWHERE.epoch):
            logger.warning("the stream of settings began afresh: only what it holds now counts")
            self.settings = self._fresh()
            self._outcomes.clear()
        acks = [ack for message in batch.messages if (ack := self._apply(message)) and self._up.is_set()]
        self.declared.show(self.settings.entries)
        self.place = batch.position
        while len(self._outcomes) > max(_OUTCOMES, len(batch.messages)):
            self._outcomes.popitem(last=False)
        self.news.ring()
        return acks

    def _apply(self, message: Message[bytes]) -> Ack | None:
        message_id = message_id_of(message)
        ack: Ack | None = None
        try:
            update = read_update(message)
            applied = self.settings.apply(update)
            self.stats.applied += applied
            if not update.repeats:
                ack = Ack(message_id, self.service, version=update.entry.version)
        except (SettingRefused, SettingConflict) as error:
            self.stats.refused += 1
            logger.warning("setting not applied", extra={"message_id": message_id, "reason": str(error)})
            ack = Ack(message_id, self.service, error)
        if ack is not None:
            self._outcomes[message.offset] = ack
        return ack if _is_for(message, self.service) else None

    async def _tell(self, acks: list[Ack]) -> None:
        if self.acks is None or not acks:
            return
        told = [Message(value=encode_json(ack.told()), key=ack.message_id.encode()) for ack in acks]
        try:
            await self.acks.publish(told)
        except TransportError as error:
            logger.warning("acknowledgements are lost", extra={"count": len(told), "reason": str(error)})

    # Looking after the stream

    async def _look_after(self, batch: Batch) -> None:
        """Repeat what the stream would forget soon."""
        if not self.repeats or not self._up.is_set():
            return
        now = time.time_ns()
        due = self._hidden(batch) + self.settings.due(_horizon(self.stream.settings, self.place.offset))
        if not due:
            return
        try:
            await self.stream.publish([entry.again(now) for entry in dict.fromkeys(due)])
        except TransportError as error:
            logger.warning("settings could not be repeated", extra={"reason": str(error)})

    def _hidden(self, batch: Batch) -> list[Entry]:
        """The entries of refused messages: a broker that compacts would keep those alone."""
        if Ability.PARTITIONS not in self.stream.transport.abilities:
            return []
        refused = [m for m in batch.messages if (ack := self._outcomes.get(m.offset)) and ack.error]
        keys = {(message.key or b"").decode("utf-8", "replace") for message in refused}
        return [entry for key, entry in self.settings.entries.items() if str(key) in keys]


def _horizon(settings: StreamSettings, offset: int) -> int:
    """Who was not said since this place is repeated: half of what is kept has gone by."""
    return offset - settings.keep_messages // 2


def _preview(key: Key, message: Message[bytes]) -> Entry:
    """The entry that a message would make: newer than all that is there."""
    return Entry(key, message.value, 2**63 - 1, message.timestamp, message_id_of(message), 0)


def _is_for(message: Message[bytes], service: str) -> bool:
    try:
        return Key.parse((message.key or b"").decode()).is_for(service)
    except (SettingRefused, UnicodeDecodeError):
        return True  # nobody can tell, so everybody says so


def _is_beyond(place: Position, end: Position) -> bool:
    reached = (place.offsets.get(partition, 0) >= offset for partition, offset in end.offsets.items())
    return place.epoch == end.epoch and all(reached)
