"""The output: how values become the messages of a stream."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from headgate.core.codec import Codec
from headgate.core.message import Message, StreamId


@dataclass(frozen=True, slots=True)
class Output:
    """A stream, as far as those who write to it need to know it."""

    id: StreamId
    codec: Codec[Any]

    def encode(self, values: Iterable[Any]) -> list[Message[bytes]]:
        """Messages of these values; what already is a message keeps its key, headers and time."""
        return [self._encoded(value) for value in values]

    def _encoded(self, value: Any) -> Message[bytes]:
        if isinstance(value, Message):
            return replace(value, value=self.codec.encode(value.value))
        return Message(value=self.codec.encode(value), stream=self.id)
