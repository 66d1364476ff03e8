"""The shelf: one stream in the file. What is done to it inside the writer's transaction, and how it is read."""

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple
from zlib import crc32

from headgate.core.message import Message
from headgate.core.position import At, Last, Newest, Oldest, Since, Start
from headgate.errors import StreamFull
from headgate.transport.base import Delivery, Overflow, StreamSettings
from headgate.transport.log.database import Connection, damaged, messages_table
from headgate.transport.log.frames import Row, message, rows

TRIM_CHUNK = 5000  # rows deleted in one transaction, so that no append waits long


class State(NamedTuple):
    """How far the stream reaches, as its row says."""

    epoch: str
    next: int
    high: int
    trimmed: int
    taken: int
    dropped: int


class Reading(NamedTuple):
    """What a read found: messages, the next offset, and how many fell away or are damaged."""

    messages: list[Message[bytes]]
    next: int
    missed: int
    damaged: int


def _seal(name: str, epoch: str) -> int:
    return crc32(f"{name} {epoch}".encode())


def _refuse_damage(connection: Connection) -> None:
    """A stream whose name changed by itself would be missed by nobody."""
    listed = connection.execute("SELECT id, name, epoch, seal FROM streams").fetchall()
    for _, name, epoch, seal in listed:
        if not isinstance(name, str) or not isinstance(epoch, str) or _seal(name, epoch) != seal:
            raise damaged("the log", "the list of its streams does not match its checksums")
    tables = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'messages!_%' ESCAPE '!'").fetchall()
    if {f"messages_{number}" for number, *_ in listed} != {name for (name,) in tables}:
        raise damaged("the log", "it has messages of streams that it does not list, or the other way round")


class Shelf:
    """One stream's tables. Holds no state of its own: other processes may write, too."""

    def __init__(self, number: int, settings: StreamSettings, clock: Callable[[], int] = time.time_ns) -> None:
        self.number = number
        self.settings = settings
        self._clock = clock
        self._table = f"messages_{number}"
        self._is_queue = settings.delivery is Delivery.QUEUE

    @classmethod
    def opened(cls, connection: Connection, settings: StreamSettings, clock: Callable[[], int]) -> "Shelf":
        """The stream's shelf, made when it is not there. Runs in the writer's transaction."""
        _refuse_damage(connection)
        row = connection.execute("SELECT id FROM streams WHERE name = ?", (settings.name,)).fetchone()
        if row is None:
            epoch = secrets.token_hex(4)
            seal = _seal(settings.name, epoch)
            connection.execute("INSERT INTO streams (name, epoch, seal) VALUES (?, ?, ?)", (settings.name, epoch, seal))
            row = connection.execute("SELECT id FROM streams WHERE name = ?", (settings.name,)).fetchone()
        connection.execute(messages_table(row[0]))
        shelf = cls(row[0], settings, clock)
        shelf.refuse_damage(connection)
        return shelf

    def refuse_damage(self, connection: Connection) -> None:
        """The stream's row and its messages must tell the same story, or something was lost without a word."""
        state = self.state(connection)
        first, last = connection.execute(f"SELECT min(offset), max(offset) FROM {self._table}").fetchone()  # noqa: S608
        if first is None:
            first, last = state.trimmed, state.trimmed - 1
        if last != state.next - 1 or first != state.trimmed or state.taken > state.next:
            raise damaged(
                "the log", f"stream {self.settings.name!r} has messages {first} to {last}, and tells of others"
            )

    def state(self, connection: Connection) -> State:
        """The stream's row."""
        row = connection.execute(
            "SELECT epoch, next, high, trimmed, taken, dropped FROM streams WHERE id = ?", (self.number,)
        ).fetchone()
        if row is None or not all(isinstance(value, int) for value in row[1:]):
            raise damaged("the log", f"the row of stream {self.settings.name!r} is gone or no longer readable")
        return State(*row)

    # Writing

    def append(self, connection: Connection, timestamps: Sequence[int], framed: Sequence[bytes]) -> tuple[str, range]:
        """Keep a batch. Raises `StreamFull`, before anything is written, where the stream rejects."""
        state = self.state(connection)
        if self.settings.overflow is not Overflow.DROP_OLDEST:
            self._refuse_overflow(connection, state, len(framed))
        kept = rows(timestamps, framed, first=state.next, high=state.high)
        connection.executemany(f"INSERT INTO {self._table} VALUES (?, ?, ?, ?)", kept)  # noqa: S608 - our own number
        stop = state.next + len(framed)
        high = max(state.high, *timestamps) if timestamps else state.high
        connection.execute("UPDATE streams SET next = ?, high = ? WHERE id = ?", (stop, high, self.number))
        self._let_go(connection, state._replace(next=stop, high=high))
        return state.epoch, range(state.next, stop)

    def room(self, connection: Connection) -> int:
        """How many more fit before something that somebody still needs would go."""
        return self._room(connection, self.state(connection))

    def _refuse_overflow(self, connection: Connection, state: State, count: int) -> None:
        if count > (room := self._room(connection, state)):
            raise StreamFull(
                f"stream {self.settings.name!r} has room for {room} of {count} messages; "
                "read it, or raise retain.messages"
            )

    def _room(self, connection: Connection, state: State) -> int:
        floor = max(self._floor(connection, state), self.oldest(connection, state))
        return self.settings.keep_messages - (state.next - floor)

    def _floor(self, connection: Connection, state: State) -> int:
        if self._is_queue:
            query = "SELECT min(first) FROM claims WHERE stream = ?"
            default = state.taken
        else:
            query = "SELECT min(offset) FROM cursors WHERE stream = ?"
            default = state.next
        [lowest] = connection.execute(query, (self.number,)).fetchone()
        return default if lowest is None else min(lowest, default)

    def _let_go(self, connection: Connection, state: State) -> None:
        """Delete what is not kept any longer, when it is worth a transaction, and count what a queue lost by it."""
        oldest = self.oldest(connection, state)
        if self._is_queue:
            self._drop_before(connection, state, oldest)
        if oldest - state.trimmed > min(TRIM_CHUNK, max(100, self.settings.keep_messages // 10)):
            stop = min(oldest, state.trimmed + 2 * TRIM_CHUNK)
            connection.execute(f"DELETE FROM {self._table} WHERE offset < ?", (stop,))  # noqa: S608
            connection.execute("UPDATE streams SET trimmed = ? WHERE id = ?", (stop, self.number))

    def _drop_before(self, connection: Connection, state: State, oldest: int) -> int:
        lost = max(0, oldest - state.taken)
        for first, stop in self._returned(connection, before=oldest):
            lost += min(stop, oldest) - first
            connection.execute("DELETE FROM claims WHERE stream = ? AND first = ?", (self.number, first))
            if stop > oldest:
                self._keep_for_anybody(connection, oldest, stop)
        if lost:
            connection.execute(
                "UPDATE streams SET dropped = dropped + ?, taken = max(taken, ?) WHERE id = ?",
                (lost, oldest, self.number),
            )
        return lost

    # Reading

    def oldest(self, connection: Connection, state: State) -> int:
        """The oldest offset that may be given: by count, and by age as the messages' own timestamps say."""
        oldest = max(state.trimmed, state.next - self.settings.keep_messages)
        if self.settings.keep_age is None:
            return oldest
        return self._first_since(connection, oldest, state.next, self._clock() - self.settings.keep_age)

    def _first_since(self, connection: Connection, low: int, high: int, timestamp: int) -> int:
        """The first offset whose message has this timestamp or a later one: the running maximum is sorted."""
        while low < high:
            middle = (low + high) // 2
            row = connection.execute(f"SELECT high FROM {self._table} WHERE offset = ?", (middle,)).fetchone()  # noqa: S608
            if row is not None and isinstance(row[0], int) and row[0] >= timestamp:
                high = middle
            else:
                low = middle + 1
        return low

    def begin(self, connection: Connection, start: Start) -> int:
        """The offset that a start means now."""
        state = self.state(connection)
        oldest = self.oldest(connection, state)
        match start:
            case Newest():
                return state.next
            case Last(count):
                return max(oldest, state.next - count)
            case Since(timestamp):
                return self._first_since(connection, oldest, state.next, timestamp)
            case At(position) if position.epoch == state.epoch:
                return min(position.offset, state.next)
            case Oldest() | At():
                return oldest

    def read(self, connection: Connection, offset: int, limit: int) -> Reading:
        """Up to `limit` messages from an offset on. A damaged one is left out and counted."""
        state = self.state(connection)
        first = max(offset, self.oldest(connection, state))
        stop = min(first + limit, state.next)
        found: list[Row] = connection.execute(
            f"SELECT offset, high, checksum, frame FROM {self._table} WHERE offset >= ? AND offset < ? ORDER BY offset",  # noqa: S608
            (first, stop),
        ).fetchall()
        own = self.settings.id
        good = [m for row in found if (m := message(row, own)) is not None]
        damaged = max(0, stop - first) - len(good)
        return Reading(good, max(first, stop), first - offset + damaged, damaged)

    # Cursors with a name

    def cursor(self, connection: Connection, name: str, start: Start) -> int:
        """Where a named cursor is; one without a past is put where `start` says."""
        row = connection.execute(
            "SELECT offset FROM cursors WHERE stream = ? AND name = ?", (self.number, name)
        ).fetchone()
        if row is not None:
            return int(row[0])
        offset = self.begin(connection, start)
        connection.execute("INSERT INTO cursors VALUES (?, ?, ?)", (self.number, name, offset))
        return offset

    def commit(self, connection: Connection, name: str, offset: int) -> None:
        """A named cursor handed over everything before this offset."""
        connection.execute(
            "UPDATE cursors SET offset = max(offset, ?) WHERE stream = ? AND name = ?", (offset, self.number, name)
        )

    # A queue's claims

    def take(self, connection: Connection, owner: str, reader: int, limit: int) -> range:
        """Give out up to `limit` offsets, what came back first."""
        state = self.state(connection)
        self._drop_before(connection, state, self.oldest(connection, state))
        for first, stop in self._returned(connection, before=state.next)[:1]:
            given = range(first, min(stop, first + limit))
            connection.execute("DELETE FROM claims WHERE stream = ? AND first = ?", (self.number, first))
            if given.stop < stop:
                self._keep_for_anybody(connection, given.stop, stop)
            self._give(connection, given, owner, reader)
            return given
        taken = self.state(connection).taken
        given = range(taken, min(state.next, taken + limit))
        if given:
            self._give(connection, given, owner, reader)
            connection.execute("UPDATE streams SET taken = ? WHERE id = ?", (given.stop, self.number))
        return given

    def waiting(self, connection: Connection) -> int:
        """How many a queue has to give out."""
        state = self.state(connection)
        oldest = self.oldest(connection, state)
        returned = [(max(first, oldest), stop) for first, stop in self._returned(connection, before=state.next)]
        return state.next - max(state.taken, oldest) + sum(max(0, stop - first) for first, stop in returned)

    def _returned(self, connection: Connection, *, before: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = connection.execute(
            "SELECT first, stop FROM claims WHERE stream = ? AND owner IS NULL AND first < ? ORDER BY first",
            (self.number, before),
        ).fetchall()
        return found

    def _give(self, connection: Connection, run: range, owner: str, reader: int) -> None:
        query = "SELECT coalesce(max(turn), 0) + 1 FROM claims WHERE stream = ?"
        [turn] = connection.execute(query, (self.number,)).fetchone()
        self._claim(connection, run.start, run.stop, owner, reader, turn)

    def _keep_for_anybody(self, connection: Connection, first: int, stop: int) -> None:
        self._claim(connection, first, stop, None, None, 0)

    def _claim(self, connection: Connection, *claim: object) -> None:
        connection.execute("INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?)", (self.number, *claim))

    def done(self, connection: Connection, owner: str, reader: int, before: int) -> None:
        """This reader is finished with what it took, in the order of taking, up to that offset."""
        held: list[tuple[int, int, int]] = connection.execute(
            "SELECT first, stop, turn FROM claims WHERE stream = ? AND owner = ? AND reader = ? ORDER BY turn",
            (self.number, owner, reader),
        ).fetchall()
        last = next((turn for first, stop, turn in held if first < before <= stop), 0)
        for first, stop, turn in held:
            if turn <= last:
                connection.execute("DELETE FROM claims WHERE stream = ? AND first = ?", (self.number, first))
            if turn == last and stop > before:
                self._claim(connection, before, stop, owner, reader, turn)

    def give_back(self, connection: Connection, owner: str, reader: int) -> None:
        """This reader is gone: what it holds is given out again."""
        connection.execute(
            "UPDATE claims SET owner = NULL, reader = NULL WHERE stream = ? AND owner = ? AND reader = ?",
            (self.number, owner, reader),
        )

    def other_owners(self, connection: Connection, owner: str) -> list[str]:
        """Who else holds something of this queue."""
        query = "SELECT DISTINCT owner FROM claims WHERE stream = ? AND owner IS NOT NULL AND owner != ?"
        return [name for (name,) in connection.execute(query, (self.number, owner)).fetchall()]

    def give_back_all(self, connection: Connection, owners: Collection[str]) -> None:
        """These owners are dead: what they held is given out again."""
        for owner in owners:
            connection.execute(
                "UPDATE claims SET owner = NULL, reader = NULL WHERE stream = ? AND owner = ?", (self.number, owner)
            )
