"""The desk: takes commands in. A plain one goes straight to the stream; one that must not go twice, or not yet, is
kept first, and the bookkeeper publishes it."""

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from headgate.core.command import CommandRequest, message_of
from headgate.core.command_status import NOT_IN_TIME, Status, history_of, line_of
from headgate.core.message import Message
from headgate.errors import Expired, HeadgateError, InvalidCommand, KeyReused, TransportError, Unavailable
from headgate.runtime.command.book import Book
from headgate.runtime.command.lanes import Lanes
from headgate.runtime.stats import CommandStats
from headgate.store.commands import CommandRow

_NANOSECONDS = 1_000_000_000


class Order(msgspec.Struct, frozen=True):
    """A command that is asked for: what it is, and what a repeated request is known by."""

    request: CommandRequest
    key: str | None = None
    fingerprint: str | None = None

    @property
    def is_for_later(self) -> bool:
        """Whether its time has not come yet."""
        return self.request.not_before is not None and self.request.not_before.timestamp() > time.time()

    @property
    def is_known(self) -> bool:
        """Whether a repeated request can be told."""
        return self.key is not None or self.request.request_id is not None


class Pushed(msgspec.Struct, frozen=True, gc=False):
    """A command that is acknowledged: published, or kept for later."""

    request_id: str
    at: datetime
    status: Status
    device_id: str
    command_type: str


class Desk:
    """Where commands of one interface come in. Without a book there are only plain ones."""

    def __init__(self, scope: str, lanes: Lanes, book: Book | None, stats: CommandStats, timeout: float) -> None:
        self.scope, self.book, self.stats, self.timeout = scope, book, stats, timeout
        self.lanes = lanes

    def __repr__(self) -> str:
        return f"<Desk {self.scope}: {self.stats.sent} sent, {self.stats.failed} failed>"

    async def push(self, orders: Sequence[Order]) -> list[Pushed | HeadgateError]:
        """Take these in, and tell what became of each."""
        now = datetime.now(UTC)
        if not any(order.is_known or order.is_for_later for order in orders):
            return await self._publish(orders, now)
        if self.book is None:
            refusal = InvalidCommand("this interface keeps no status: commands have no request_id, key or not_before")
            return [refusal for _ in orders]
        return await self._keep(orders, now, self.book)

    # Straight to the stream

    async def _publish(self, orders: Sequence[Order], now: datetime) -> list[Pushed | HeadgateError]:
        outcomes: list[Pushed | HeadgateError] = [_pushed(order.request, str(uuid.uuid4()), now) for order in orders]
        lanes: dict[str, list[int]] = {}
        for at, order in enumerate(orders):
            lanes.setdefault(self.lanes.of(order.request.priority or 0).name, []).append(at)
        for name, places in lanes.items():
            await self._send(name, places, orders, outcomes, now)
        return outcomes

    async def _send(
        self,
        name: str,
        places: Sequence[int],
        orders: Sequence[Order],
        outcomes: list[Pushed | HeadgateError],
        now: datetime,
    ) -> None:
        timestamp = round(now.timestamp() * 1e6) * 1000
        messages, sent = [], []
        for at in places:
            pushed, request = outcomes[at], orders[at].request
            assert isinstance(pushed, Pushed)
            try:
                value = message_of(request, pushed.request_id, now)
            except InvalidCommand as error:
                outcomes[at] = error
                continue
            messages.append(Message(value=value, key=request.device_id.encode(), timestamp=timestamp))
            sent.append(at)
        try:
            await self.lanes.publish(name, messages)
        except TransportError as error:
            refused = error.failed or dict.fromkeys(range(len(sent)), error)
            for index, reason in refused.items():
                outcomes[sent[index]] = reason

    # Kept first

    async def _keep(self, orders: Sequence[Order], now: datetime, book: Book) -> list[Pushed | HeadgateError]:
        """All of them in one transaction, so that those of one device keep their order."""
        rows: list[CommandRow | InvalidCommand] = []
        for order in orders:
            try:
                rows.append(self._row(order, now))
            except InvalidCommand as error:
                rows.append(error)
        kept = await book.accept([row for row in rows if isinstance(row, CommandRow)], self.timeout)
        outcomes = iter(kept)
        return [row if isinstance(row, InvalidCommand) else self._outcome(row, next(outcomes)) for row in rows]

    def _row(self, order: Order, now: datetime) -> CommandRow:
        request, at = order.request, now.timestamp()
        request_id = request.request_id or str(uuid.uuid4())
        is_over = request.expires_at is not None and request.expires_at <= now
        due = request.not_before.timestamp() if request.not_before is not None and order.is_for_later else at
        return CommandRow(
            request_id,
            self.scope,
            request.device_id,
            request.command_type,
            request.protocol,
            Status.ACCEPTED,
            at,
            at,
            priority=request.priority or 0,
            expires=None if request.expires_at is None else request.expires_at.timestamp(),
            due=due,
            publish_by=None if order.is_for_later else at + self.timeout,
            taken=not order.is_for_later and not is_over,  # what is over is left to be swept away
            key=order.key,
            fingerprint=order.fingerprint,
            body=message_of(request, request_id, now),
            history=line_of(Status.ACCEPTED, at),
        )

    def _outcome(self, row: CommandRow, kept: CommandRow | HeadgateError) -> Pushed | HeadgateError:
        if isinstance(kept, HeadgateError):
            return kept
        if kept.fingerprint != row.fingerprint:
            words = "Idempotency-Key" if row.key is not None and kept.key == row.key else "request_id"
            return KeyReused(f"this {words} was used for another command; use a new one for each")
        at = datetime.fromtimestamp(kept.accepted, UTC)
        pushed = Pushed(kept.request_id, at, Status.PUBLISHED, kept.device_id, kept.command_type)
        if kept.publish_by is None:  # it was for later: the first answer, whatever came of it since
            return msgspec.structs.replace(pushed, status=Status.ACCEPTED)
        if kept.published is not None:
            return pushed
        if kept.status is Status.GIVEN_UP:
            return _given_up(kept)
        if kept.status is Status.EXPIRED:
            return Expired("the command expired before it could be published")
        return pushed


def _given_up(row: CommandRow) -> HeadgateError:
    """Why a command is not on the stream, and whether it is worth another try."""
    reason = history_of(row.history)[-1].detail
    if reason == NOT_IN_TIME:
        return Unavailable("the command could not be published in time; try again")
    return TransportError(reason)


def _pushed(request: CommandRequest, request_id: str, now: datetime) -> Pushed:
    return Pushed(request_id, now, Status.PUBLISHED, request.device_id, request.command_type)
