"""The dead letters: messages that were refused, kept as they came beside the reason."""

import logging

from headgate.core.entity import Fault
from headgate.core.message import Message
from headgate.errors import TransportError
from headgate.runtime.ingest.settled import Settled
from headgate.runtime.stream import Stream

logger = logging.getLogger("headgate.ingest")


class DeadLetters:
    """Publishes what was refused to a stream."""

    def __init__(self, stream: Stream, path: str) -> None:
        self._stream, self._path = stream, path

    def __repr__(self) -> str:
        return f"<DeadLetters of {self._path} in {self._stream.name}>"

    async def bury(self, settled: Settled) -> None:
        """Publish the messages of a page that were refused. Raises a `TransportError`."""
        # Of a line that was too long only the beginning is known.
        raw, faults = settled.page.raw, settled.faults
        letters = [self.letter(fault, raw(fault.line_number) or fault.line.encode()) for fault in faults]
        if letters:
            await self._stream.publish(letters)

    async def bury_one(self, fault: Fault) -> None:
        """Publish a single message. Its sender was told, so a stream that is away is no reason to fail."""
        try:
            await self._stream.publish([self.letter(fault, fault.line.encode())])
        except TransportError as error:
            logger.error("a refused message is not among the dead letters", extra={"reason": str(error)})

    def letter(self, fault: Fault, value: bytes) -> Message[bytes]:
        """A dead letter: the message as it came, and why it went no further."""
        facts = {"reason": fault.message, "entity": fault.entity, "field": fault.field, "path": self._path}
        headers = [(name, text.encode()) for name, text in facts.items() if text]
        return Message(value=value, headers=(*headers, ("line", str(fault.line_number).encode())))
