"""The renderings: how the messages of a stream look to those who follow it."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from headgate.core import sse, window
from headgate.core.codec import Codec, encode_json, json_encode
from headgate.core.message import Message
from headgate.core.window import Gap
from headgate.core.wire import envelope, json_value
from headgate.errors import HeadgateError


class Rendering(window.Rendering, Protocol):
    """A rendering that also has a word for what went wrong."""

    def failure(self, error: HeadgateError) -> bytes:
        """Why it goes no further."""
        ...


class LiveRendering(Rendering, Protocol):
    """A rendering for a response that goes on."""

    @property
    def ping(self) -> bytes:
        """A sign of life."""
        ...

    def opening(self, place: str, retry: float) -> bytes:
        """What a client is told first: where it starts, and when to come again after a cut."""
        ...

    def closing(self, retry: float) -> bytes:
        """What a client is told when the gate goes."""
        ...


@dataclass(frozen=True, slots=True)
class Events:
    """Server-Sent Events. Data is the payload's own bytes where that is text, and else its JSON form."""

    codec: Codec[Any] = field(compare=False)
    event: str = ""
    enveloped: bool = False  # data is the message with its key, headers and time
    ping = sse.COMMENT

    def frame(self, message: Message[bytes], place: str) -> bytes:
        return sse.event(self._data(message), name=self.event.encode(), place=place.encode())

    def _data(self, message: Message[bytes]) -> bytes:
        if self.enveloped:
            return json_encode(envelope(message, self.codec, None))
        return message.value if is_text(self.codec) else json_value(message.value, self.codec)[0]

    def gap(self, gap: Gap) -> bytes:
        return sse.event(json_encode(gap), name=b"gap")

    def opening(self, place: str, retry: float) -> bytes:
        return sse.retry(round(retry * 1000)) + (sse.place_at(place.encode()) if place else b"")

    def closing(self, retry: float) -> bytes:
        return sse.retry(round(retry * 1000))

    def failure(self, error: HeadgateError) -> bytes:
        return sse.event(encode_json({"error": str(error), "type": error.code}), name=b"failed")


@dataclass(frozen=True, slots=True)
class Lines:
    """NDJSON: a message with its key, headers, time and position on each line. An empty line is a sign of life."""

    codec: Codec[Any] = field(compare=False)
    ping = b"\n"

    def frame(self, message: Message[bytes], place: str) -> bytes:
        return json_encode(envelope(message, self.codec, place or None)) + b"\n"

    def gap(self, gap: Gap) -> bytes:
        return json_encode({"gap": gap}) + b"\n"

    def opening(self, place: str, retry: float) -> bytes:  # noqa: ARG002 - each line says where it is
        return b""

    def closing(self, retry: float) -> bytes:  # noqa: ARG002
        return b""

    def failure(self, error: HeadgateError) -> bytes:
        return encode_json({"error": str(error), "type": error.code}) + b"\n"


def is_text(codec: Codec[Any]) -> bool:
    """Whether the bytes of this codec are text."""
    return codec.content_type.startswith("text/") or codec.content_type == "application/json"
