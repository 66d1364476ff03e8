"""The consumer: one input of a node, from being read over being run to being committed."""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headgate.core.errand import Fault
from headgate.core.message import Message
from headgate.core.position import Oldest
from headgate.core.reply import ReplyError, failure, wants_reply
from headgate.core.schedule import Item, Order, Schedule
from headgate.errors import Draining, TransportError, WorkerLost
from headgate.runtime.letters import letter
from headgate.runtime.stream import Stream, Subscription
from headgate.runtime.tasks import Idle, backoff
from headgate.runtime.work import Ran, Runs
from headgate.transport.bell import Bell

if TYPE_CHECKING:
    from headgate.runtime.runner import Node

logger = logging.getLogger("headgate.node")
COMMIT_SECONDS = 1.0  # between two commits of a batch that is not at its end
MOST_DEATHS = 5  # of processes that had one message alone in hand, until it is taken for the reason
PAUSE = 0.1  # seconds
MOST_DELAY = 30.0  # seconds before a retry


class Consumer:
    """Reads a stream for a node. What it made is published before what it was made of is committed."""

    def __init__(self, node: "Node", stream: Stream, runs: Runs, idle: Idle) -> None:
        self._node = node
        self._stream = stream
        self._runs = runs
        self._idle = idle
        self._stats = node.stats
        self._manners = node.declaration.manners
        order = Order(self._manners.order) if node.concurrency > 1 else Order.STREAM
        self._schedule = Schedule(order)
        self._bell = Bell()
        self._busy = 0  # portions that are being dealt with
        self._ended: Exception | None = None  # why no more is read
        self._size = 1  # of the next portion: as much as is likely to be run in one go
        self._committed_at = time.monotonic()
        self._committing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Consumer of {self._stream.name} for {self._node.name}: {self._schedule!r}>"

    async def run(self) -> None:
        """Deal with the stream until the node stops, or raise why it cannot be read."""
        async with self._stream.subscribe(Oldest(), cursor=f"node-{self._node.name}") as subscription:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(subscription))
                await self._deal_out(subscription, group)
                reading.cancel()
            await self._commit(subscription, all_of_it=True)
        if self._ended is not None:
            raise self._ended

    async def _read(self, subscription: Subscription) -> None:
        """Read ahead, so far that there is always something to begin with."""
        try:
            while not self._node.stopping:
                with self._idle:
                    while not (room := self._schedule.room()):
                        await self._bell.wait()
                    batch = await subscription.take(room)
                self._schedule.add(batch)
                self._bell.ring()
        except Exception as error:  # noqa: BLE001 - what is in hand is finished before it is told
            self._ended = error
        finally:
            self._bell.ring()

    async def _deal_out(self, subscription: Subscription, group: asyncio.TaskGroup) -> None:
        """Hand out portions while there is somebody to take them, and wait for the last."""
        while not (self._stops and not self._busy):
            portion = self._next_portion()
            if portion:
                self._busy += 1
                group.create_task(self._deal(subscription, portion))
            else:
                await self._bell.wait(self._schedule.wait(time.monotonic()) if self._free else None)

    @property
    def _stops(self) -> bool:
        return self._node.stopping or self._ended is not None

    @property
    def _free(self) -> int:
        """How many more portions may be dealt with at once."""
        return 0 if self._stops else self._node.concurrency - self._busy

    def _next_portion(self) -> list[Item]:
        if not (free := self._free):
            return []
        if self._node.work.takes_batch:
            limit = self._manners.batch
        else:
            limit = min(self._size, math.ceil(self._schedule.ready / free) or 1)
        return self._schedule.take(limit, time.monotonic())

    async def _deal(self, subscription: Subscription, portion: list[Item]) -> None:
        """Run a portion, publish what it made, commit what can be committed."""
        late = None
        settled: set[Item] = set()
        try:
            ran = await self._run(portion)
            if ran is not None:
                late, settled = ran.late, await self._settle(portion, ran)
        except TransportError as error:  # an output was closed
            self._ended = error
        finally:
            self._schedule.give_back(portion, settled, time.monotonic())
            await self._released(late)
        await self._commit(subscription)

    async def _released(self, late: "asyncio.Future[None] | None") -> None:
        """Whoever still is at work takes nothing else."""
        try:
            self._bell.ring()
            if late is not None and not self._node.stopping:
                with self._idle:
                    await asyncio.wait({late})
            else:
                await asyncio.sleep(0)  # a function that never waits lets others have their turn
        finally:
            self._busy -= 1
            self._bell.ring()

    async def _run(self, portion: list[Item]) -> Ran | None:
        try:
            messages = [item.message for item in portion]
            ran = await self._runs.run(self._stream.name, messages, apart=portion[0].suspect)
        except WorkerLost as error:
            return self._lost(portion, error)
        except Draining:  # nobody takes it now
            with self._idle:
                await asyncio.sleep(PAUSE)
            return None
        if not ran.faults and ran.seen == len(portion):
            self._size = min(2 * max(self._size, 1), 1000)
        else:
            self._size = max(1, ran.seen)
        return ran

    def _lost(self, portion: list[Item], error: WorkerLost) -> Ran | None:
        """Whoever had it is gone. It is given out again, each message apart: one of them may be the reason."""
        for item in portion:
            item.deaths += item.suspect
            item.alone = item.suspect = True
        if portion[0].deaths < MOST_DEATHS:
            return None
        ran = Ran(calling=range(1))
        ran.fail(f"{error}, {MOST_DEATHS} times", retriable=False)
        return ran

    async def _settle(self, portion: list[Item], ran: Ran) -> set[Item]:
        """Publish what was made, and deal with what could not be handled. What is left comes again."""
        settled = set(portion[: ran.seen])
        refused: list[tuple[Item, Fault]] = []
        for fault in ran.faults:
            items = portion[fault.index : fault.index + fault.count]
            if fault.count > 1:  # a batch: taken apart, so that only who is at fault is refused
                settled -= {item for item in items if not self._is_refused(item, refused)}
                for item in items:
                    item.alone = True
            elif self._again(items[0], fault):
                settled.discard(items[0])
            else:
                refused.append((items[0], fault))
        for stream, batch in zip(self._node.outputs, ran.outputs, strict=False):  # what nobody began has none
            await self._node.publish(stream, batch)
        for item, fault in refused:
            await self._refuse(item, fault)
        self._stats.handled += len(settled) - len(refused)
        self._stats.emitted += ran.made
        return settled

    def _is_refused(self, item: Item, refused: Sequence[tuple[Item, Fault]]) -> bool:
        return any(item is other for other, _ in refused)

    def _again(self, item: Item, fault: Fault) -> bool:
        """Whether it is to be tried once more."""
        item.attempts += 1
        if not fault.retriable or item.attempts > self._manners.retries:
            return False
        delay = backoff(item.attempts, first=self._manners.retry_delay, most=MOST_DELAY)
        item.not_before = time.monotonic() + delay
        self._stats.retried += 1
        logger.warning("node tries a message again", extra={**self._facts(item, fault), "seconds": delay})
        return True

    async def _refuse(self, item: Item, fault: Fault) -> None:
        """This message is not handled: count it, say so, and keep it among the dead letters."""
        self._stats.failed += 1
        traceback = {"traceback": fault.trace} if fault.trace else {}
        logger.error("node could not handle a message", extra={**self._facts(item, fault), **traceback})
        if wants_reply(item.message) and self._node.outputs:
            output = self._node.outputs[0]
            await self._node.publish(output, [failure(item.message, _told(fault), output.codec)])
        if (stream := self._node.dead_letters) is not None:
            await self._node.publish(stream, [self._letter(item, fault)])
            self._stats.dead_letters += 1

    def _letter(self, item: Item, fault: Fault) -> Message[bytes]:
        return letter(
            item.message,
            node=self._node.name,
            stream=self._stream.name,
            attempts=item.attempts,
            reason=fault.reason,
        )

    def _facts(self, item: Item, fault: Fault) -> dict[str, object]:
        message = item.message
        return {
            "node": self._node.name,
            "stream": self._stream.name,
            "reason": fault.reason,
            "attempt": item.attempts,
            "partition": message.partition,
            "offset": message.offset,
        }

    async def _commit(self, subscription: Subscription, *, all_of_it: bool = False) -> None:
        """Commit what can be, of a batch that is not at its end now and then."""
        now = time.monotonic()
        if all_of_it or self._schedule.whole or now - self._committed_at >= COMMIT_SECONDS:
            self._committed_at = now
            async with self._committing:  # one after the other, in the order of the stream
                try:
                    for position in self._schedule.commits():
                        await subscription.commit(position)
                except TransportError as error:
                    self._ended = error
                    self._bell.ring()


def _told(fault: Fault) -> ReplyError:
    """What the caller is told: that it failed, and not how."""
    if fault.timed_out:
        return ReplyError(504, "timeout", "the service took too long over this request")
    return ReplyError(500, "node_failed", "the service failed on this request; its log has the reason")
