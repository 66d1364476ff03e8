"""The work of a node: its function and the codecs around it, from bytes to bytes.

This is the seam between a node and whatever runs it. It is given a portion - some messages of one input, in their
order - and fills in what became of them. It knows no streams, so it works in any process.
"""

import asyncio
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from headgate.core import errand
from headgate.core.codec import Codec
from headgate.core.errand import Fault
from headgate.core.message import Message
from headgate.core.output import Output
from headgate.core.reply import ReplyError, answering, carried, failed, failure, is_over, wants_reply
from headgate.errors import CodecError, Refusal
from headgate.runtime.call import Call, Configure, gather, in_thread, results
from headgate.runtime.config.view import defaults_only
from headgate.runtime.node import Declaration
from headgate.runtime.tasks import is_cancelled

SLICE = 0.01  # seconds after which a portion is handed back although it has not been run to its end
_RAISED = (Exception, SystemExit, asyncio.CancelledError)  # what a function may raise and be none the worse for


@dataclass(slots=True)
class Ran:
    """What became of a portion. What comes after the first `seen` messages was not begun."""

    seen: int = 0
    made: int = 0  # values
    outputs: list[list[Message[bytes]]] = field(default_factory=list)  # for each output, what is to be published
    faults: list[Fault] = field(default_factory=list)
    calling_since: float | None = None  # on the monotonic clock
    calling: range = range(0)
    abandoned: bool = False  # nobody waits for it any longer
    request: Message[bytes] | None = None  # that the call under way is about, if it is one
    late: "asyncio.Future[None] | None" = None  # a call that goes on although nobody waits for it

    def begin(self, indexes: range) -> None:
        """The function is called with these messages now."""
        self.calling, self.calling_since = indexes, time.monotonic()

    def fail(self, reason: str, *, trace: str = "", retriable: bool = True, timed_out: bool = False) -> None:
        """The call did not work."""
        at = self.calling
        self.faults.append(Fault(at.start, len(at), reason, trace, retriable, timed_out))
        self.seen, self.calling_since = at.stop, None

    def succeed(self, encoded: Sequence[list[Message[bytes]]], made: int) -> None:
        """The call did work, and this is to be published."""
        for output, messages in zip(self.outputs, encoded, strict=True):
            output.extend(messages)
        self.made += made
        self.seen, self.calling_since = self.calling.stop, None

    def overdue(self, timeout: float | None) -> bool:
        """The call under way takes longer than it may."""
        since = self.calling_since
        return timeout is not None and since is not None and time.monotonic() - since >= timeout

    def given_up(self, timeout: float | None) -> "Ran":
        """What is known of it when nobody waits any longer for the call under way."""
        self.abandoned = True
        known = Ran(self.seen, self.made, [list(output) for output in self.outputs], list(self.faults))
        known.calling = self.calling
        known.fail(too_long(timeout), timed_out=True)
        return known


def too_long(timeout: float | None) -> str:
    """The reason of a fault."""
    return f"it took longer than its timeout of {timeout:g} s"


def too_large(size: int, limit: int) -> str:
    """The reason of a fault."""
    where = "runtime.platform.execution_ipc.max_payload_bytes"
    return f"{size} bytes do not fit between two processes: {where} is {limit}"


class Runs(Protocol):
    """Who runs the portions of one node: this process, or the workers of a group.

    It may be asked for several portions at once. It must not raise for what the function does; a `WorkerLost`
    says that nobody knows what became of the portion.
    """

    async def run(self, stream: str, messages: Sequence[Message[bytes]], *, apart: bool = False) -> Ran:
        """Run a portion of what came from this stream; `apart`, with nothing beside it in the same process."""
        ...


class Work:
    """A node's function between the codecs of its streams."""

    def __init__(
        self,
        declaration: Declaration,
        inputs: Mapping[str, Codec[Any]],
        outputs: Sequence[Output],
        configure: Configure = defaults_only,
        *,
        frame_bytes: int | None = None,
    ) -> None:
        self.name = declaration.name
        self.timeout = declaration.manners.timeout
        self._call = Call(declaration, configure)
        self._inputs = inputs
        self._outputs = outputs
        self._retries = declaration.manners.retries > 0
        self._frame_bytes = frame_bytes  # into which each message that it makes has to fit

    def __repr__(self) -> str:
        return f"<Work of {self.name}>"

    @property
    def function(self) -> Callable[..., Any]:
        """The function, with its settings given to it where it takes some."""
        return self._call.function

    @property
    def takes_batch(self) -> bool:
        """It is called with a whole portion."""
        return self._call.takes_batch

    @property
    def is_async(self) -> bool:
        """It runs in a loop, not in a thread."""
        return self._call.is_async or self._call.is_generator

    async def run(self, stream: str, messages: Sequence[Message[bytes]], ran: Ran) -> None:
        """Run a portion through an async function."""
        began = time.monotonic()
        for argument in self._arguments(stream, messages, ran):
            try:
                async with asyncio.timeout(self.timeout) as limit:
                    made = await self._awaited(argument)
                self._succeed(ran, made)
            except _RAISED as error:
                if is_cancelled():
                    raise
                if limit.expired():
                    ran.fail(too_long(self.timeout), timed_out=True)
                else:
                    self._fail(ran, error)
            if self._is_over(ran, began):
                return

    async def _awaited(self, argument: Any) -> list[Any]:
        if self._call.is_generator:
            return await gather(self._call.function(argument))
        return results(await self._call.function(argument))

    def run_plain(self, stream: str, messages: Sequence[Message[bytes]], ran: Ran) -> None:
        """Run a portion through a plain function, in the thread that calls this."""
        began = time.monotonic()
        for argument in self._arguments(stream, messages, ran):
            try:
                made = in_thread(self._call.function, argument)
                if not ran.abandoned:
                    self._succeed(ran, made)
            except _RAISED as error:
                self._fail(ran, error)
            if ran.abandoned or self._is_over(ran, began):
                return

    def _arguments(self, stream: str, messages: Sequence[Message[bytes]], ran: Ran) -> Iterator[Any]:
        """What the function is called with, time after time. What cannot be read is noted and left out."""
        ran.outputs = [[] for _ in self._outputs]
        if not self._call.takes_batch:
            for index, message in enumerate(messages):
                ran.calling = range(index, index + 1)
                for readable in self._readable(stream, message, ran):
                    ran.begin(ran.calling)
                    yield self._call.argument([readable])
            return
        batch: list[Message[Any]] = []
        for index, message in enumerate(messages):
            ran.calling = range(index, index + 1)
            batch += self._readable(stream, message, ran)
        ran.request = None
        if batch:
            ran.begin(range(len(messages)))
            yield self._call.argument(batch)

    def _readable(self, stream: str, message: Message[bytes], ran: Ran) -> Iterator[Message[Any]]:
        ran.request = message if wants_reply(message) else None
        if ran.request is not None and self._is_settled(ran, message):
            return
        try:
            yield self._call.converted(replace(message, value=self._inputs[stream].decode(message.value)))
        except (CodecError, msgspec.ValidationError) as error:
            if not self._answer(ran, ReplyError(422, "invalid_request", str(error))):
                ran.fail(str(error), retriable=False)

    def _is_settled(self, ran: Ran, message: Message[bytes]) -> bool:
        """Whether there is nothing to be done about a request: it failed before, or nobody waits any longer."""
        if failed(message) is not None:
            ran.succeed(self._in_first_output(message), 0)
            return True
        if is_over(message, time.time()):
            ran.succeed(self._in_first_output(None), 0)
            return True
        return False

    def _answer(self, ran: Ran, error: ReplyError) -> bool:
        """Tell who waits for a reply what is wrong; False when nobody does."""
        if ran.request is None or not self._outputs:
            return False
        ran.succeed(self._in_first_output(failure(ran.request, error, self._outputs[0].codec)), 0)
        return True

    def _in_first_output(self, message: Message[bytes] | None) -> list[list[Message[bytes]]]:
        first = [] if message is None else [message]
        return [first if at == 0 else [] for at in range(len(self._outputs))]

    def _succeed(self, ran: Ran, made: list[Any]) -> None:
        try:
            encoded = [output.encode(made) for output in self._outputs]
            if ran.request is not None:
                encoded = [answering(messages, carried(ran.request)) for messages in encoded]
            self._refuse_large(encoded)
        except CodecError as error:
            ran.fail(str(error), retriable=False)
        else:
            ran.succeed(encoded, len(made))

    def _refuse_large(self, encoded: Sequence[Sequence[Message[bytes]]]) -> None:
        if self._frame_bytes is not None:
            for message in (message for messages in encoded for message in messages):
                if not errand.fitting([message], self._frame_bytes):
                    raise CodecError(too_large(len(message.value), self._frame_bytes))

    def _fail(self, ran: Ran, error: BaseException) -> None:
        if isinstance(error, Refusal):
            told = ReplyError(error.reply_status, error.reply_type, str(error))
            if not self._answer(ran, told):
                ran.fail(str(error), retriable=False)
            return
        ran.fail(repr(error), trace="".join(traceback.format_exception(error)))

    def _is_over(self, ran: Ran, began: float) -> bool:
        """It has run for its time, or a message has to be tried again before those behind it."""
        tried_again = self._retries and bool(ran.faults) and ran.faults[-1].retriable
        return tried_again or time.monotonic() - began >= SLICE


class Inline:
    """Runs a node in this process: async functions in its loop, plain ones in its threads."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def run(self, stream: str, messages: Sequence[Message[bytes]], *, apart: bool = False) -> Ran:  # noqa: ARG002
        ran = Ran()
        if self._work.is_async:
            await self._work.run(stream, messages, ran)
            return ran
        thread = asyncio.ensure_future(asyncio.to_thread(self._work.run_plain, stream, messages, ran))
        while not thread.done():
            await asyncio.wait({thread}, timeout=self._work.timeout)
            if not thread.done() and ran.overdue(self._work.timeout):
                known = ran.given_up(self._work.timeout)
                known.late = thread
                return known
        thread.result()
        return ran
