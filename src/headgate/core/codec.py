"""The codec: bytes to value and back, and the five that are always there.

A codec also knows its JSON form, so that any stream can be read and written by a client that speaks JSON.
"""

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from headgate.errors import CodecError

T = TypeVar("T")

json_encode = msgspec.json.Encoder().encode
_json_decode = msgspec.json.Decoder().decode
_json_skim = msgspec.json.Decoder(msgspec.Raw).decode
_BAD_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_BAD_VALUE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


class MessageSerializer(Protocol[T]):
    """A codec: how the values of one stream become bytes. Raises `CodecError` for what it refuses."""

    name: str
    content_type: str

    def encode(self, value: T) -> bytes:
        """The bytes of a value."""
        ...

    def decode(self, body: bytes) -> T:
        """The value of these bytes."""
        ...


class Codec(MessageSerializer[T], Protocol[T]):
    """A codec that a stream can be configured with: it checks bytes and has a JSON form."""

    json_is_base64: bool

    def check(self, body: bytes) -> None:
        """Refuse bytes that `decode` would refuse; may be much cheaper than decoding."""
        ...

    def to_json(self, body: bytes) -> bytes:
        """The value as JSON text."""
        ...

    def from_json(self, text: bytes) -> bytes:
        """The body for a value that came as JSON text."""
        ...


class JsonCodec:
    """JSON, as strict as RFC 8259: no NaN, no trailing comma, UTF-8 only.

    What is published must also be of use to who decodes it: `1e400` and numbers of thousands of digits are refused.
    A NaN or an infinity in a value becomes null.
    """

    name = "json"
    content_type = "application/json"
    json_is_base64 = False

    def encode(self, value: Any) -> bytes:
        return encode_json(value)

    def decode(self, body: bytes) -> Any:
        return decode_json(body)

    def check(self, body: bytes) -> None:
        decode_json(body)

    def to_json(self, body: bytes) -> bytes:
        check_json(body)
        return body

    def from_json(self, text: bytes) -> bytes:
        decode_json(text)
        return text


class _Converting(ABC):
    """The JSON form of a codec whose bytes are not JSON: by way of the value."""

    json_is_base64 = False

    @abstractmethod
    def decode(self, body: bytes) -> Any: ...

    @abstractmethod
    def encode(self, value: Any) -> bytes: ...

    def check(self, body: bytes) -> None:
        self.decode(body)

    def to_json(self, body: bytes) -> bytes:
        return encode_json(self.decode(body))

    def from_json(self, text: bytes) -> bytes:
        return self.encode(decode_json(text))


class TextCodec(_Converting):
    """UTF-8 text."""

    name = "text"
    content_type = "text/plain; charset=utf-8"

    def encode(self, value: str) -> bytes:
        if not isinstance(value, str):
            raise CodecError(f"a text stream takes a string, not {_kind(value)}")
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise CodecError(f"the text cannot be written as UTF-8: {error.reason}") from None

    def decode(self, body: bytes) -> str:
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise CodecError(f"not UTF-8: {error.reason} at byte {error.start}") from None


class RawCodec(_Converting):
    """Bytes as they are; base64 where JSON needs text."""

    name = "raw"
    content_type = "application/octet-stream"
    json_is_base64 = True

    def encode(self, value: bytes) -> bytes:
        if not isinstance(value, bytes):
            raise CodecError(f"a raw stream takes bytes, not {_kind(value)}")
        return value

    def decode(self, body: bytes) -> bytes:
        return body

    def to_json(self, body: bytes) -> bytes:
        return b'"' + base64.b64encode(body) + b'"'

    def from_json(self, text: bytes) -> bytes:
        value = decode_json(text)
        if not isinstance(value, str):
            raise CodecError(f"a raw value in JSON is a base64 string, not {_kind(value)}")
        return decode_base64(value)


class MsgpackCodec(_Converting):
    """MessagePack."""

    name = "msgpack"
    content_type = "application/msgpack"

    def encode(self, value: Any) -> bytes:
        try:
            return msgspec.msgpack.encode(value)
        except _BAD_VALUE as error:
            raise CodecError(f"the value cannot be written as MessagePack: {error}") from None

    def decode(self, body: bytes) -> Any:
        try:
            return msgspec.msgpack.decode(body)
        except _BAD_JSON as error:
            raise CodecError(f"not MessagePack: {error}") from None


class DelimitedCodec(_Converting):
    """One line of fields between delimiters: a list of strings, or a mapping where fields are named."""

    name = "delimited"
    content_type = "text/plain; charset=utf-8"

    def __init__(self, *, delimiter: str = "|", fields: Sequence[str] = ()) -> None:
        if len(delimiter) != 1 or delimiter in "\r\n\0":
            raise CodecError(f"a delimiter is one printable character, not {delimiter!r}")
        if len(set(fields)) != len(fields):
            raise CodecError("a delimited codec names each field once")
        self.delimiter = delimiter
        self.fields = tuple(fields)

    def encode(self, value: Sequence[str] | Mapping[str, str]) -> bytes:
        line = self.delimiter.join(self._cells(value))
        if "\n" in line or "\r" in line:
            raise CodecError("a field holds a line break")
        return _TEXT.encode(line)

    def _cells(self, value: Any) -> list[str]:
        if isinstance(value, Mapping) and self.fields:
            if unknown := [str(name) for name in value if name not in self.fields]:
                raise CodecError(f"unknown field {unknown[0]!r}; the fields are {', '.join(self.fields)}")
            value = [value.get(field, "") for field in self.fields]
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise CodecError(f"a delimited stream takes a list of strings, not {_kind(value)}")
        if self.fields and len(value) != len(self.fields):
            raise CodecError(f"expected {len(self.fields)} fields, found {len(value)}")
        return [self._cell(cell) for cell in value]

    def _cell(self, cell: Any) -> str:
        if not isinstance(cell, str | int | float) or isinstance(cell, bool):
            raise CodecError(f"a field is a string or a number, not {_kind(cell)}")
        try:
            text = str(cell)
        except ValueError as error:
            raise CodecError(f"a field cannot be written: {error}") from None
        if self.delimiter in text:
            raise CodecError(f"a field holds the delimiter {self.delimiter!r}")
        return text

    def decode(self, body: bytes) -> list[str] | dict[str, str]:
        cells = _TEXT.decode(body).rstrip("\r\n").split(self.delimiter)
        if not self.fields:
            return cells
        if len(cells) == len(self.fields) + 1 and not cells[-1]:
            cells.pop()  # a trailing delimiter, as in TPC-H files
        if len(cells) != len(self.fields):
            raise CodecError(f"expected {len(self.fields)} fields, found {len(cells)}")
        return dict(zip(self.fields, cells, strict=True))


_TEXT = TextCodec()

BUILT_IN: Mapping[str, Callable[..., Codec[Any]]] = {
    "json": JsonCodec,
    "text": TextCodec,
    "raw": RawCodec,
    "msgpack": MsgpackCodec,
    "delimited": DelimitedCodec,
}


def encode_json(value: Any) -> bytes:
    """JSON bytes of a value, or a `CodecError`."""
    try:
        text = json_encode(value)
    except _BAD_VALUE as error:
        raise CodecError(f"the value cannot be written as JSON: {error}") from None
    return text


def decode_json(text: bytes) -> Any:
    """The value of JSON bytes, or a `CodecError`."""
    try:
        return _json_decode(text)
    except _BAD_JSON as error:
        raise CodecError(f"not JSON: {_reason(error)}") from None


def check_json(text: bytes) -> None:
    """Refuse what is not JSON, without building the value: numbers may be beyond what Python holds."""
    try:
        _json_skim(text)
        if not text.isascii():
            text.decode()
    except _BAD_JSON as error:
        raise CodecError(f"not JSON: {_reason(error)}") from None


def decode_base64(text: str) -> bytes:
    """Standard base64 with padding, or a `CodecError`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CodecError(f"not base64: {error}") from None


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", type(None): "null", bool: "a boolean"}.get(
        type(value), f"{type(value).__name__}"
    )
