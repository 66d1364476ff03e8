"""The wire: several statements and the rows of their COPYs in one go.

psycopg waits for the server after each statement, and takes a way there and back for each.
"""

from collections.abc import Iterable
from select import POLLIN, POLLOUT, poll

from psycopg import errors
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

_FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE)


class Exchange:
    """Statements on their way through a connection. Nothing else may use it meanwhile."""

    def __init__(self, connection: PGconn) -> None:
        self._connection = connection
        self.copied = 0  # COPYs that were given all their rows

    def run(self, statements: bytes, copies: Iterable[bytes]) -> None:
        """Run statements; each COPY among them gets the next of these rows. Raises a `psycopg.Error`."""
        self._connection.send_query(statements)
        self._flush()
        waiting, failed = iter(copies), None
        while (result := self._result()) is not None:
            if result.status == ExecStatus.COPY_IN:
                self._copy(next(waiting))
            elif result.status in _FAILED:
                failed = failed or result  # what comes after the first tells only that
        if failed is not None:
            raise errors.error_from_result(failed)

    def _copy(self, rows: bytes) -> None:
        self.copied += 1
        self._connection.put_copy_data(rows)
        self._connection.put_copy_end()
        self._flush()

    def _flush(self) -> None:
        while self._connection.flush():
            # A server that has something to say may not read on before it was heard.
            if self._wait(POLLIN | POLLOUT) & POLLIN:
                self._connection.consume_input()

    def _result(self) -> PGresult | None:
        # libpq would wait for it, too, but then no other thread of Python could do anything.
        while self._connection.is_busy():
            self._wait(POLLIN)
            self._connection.consume_input()
        return self._connection.get_result()

    def _wait(self, events: int) -> int:
        waiter = poll()
        waiter.register(self._connection.socket, events)
        [(_, happened)] = waiter.poll()
        return happened
