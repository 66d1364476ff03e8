"""The flatbuffers of the European Spallation Source: `da00` (arrays), `f144` (log values), `x5f2` (status).

Values are what `streaming_data_types` has for them, which the extra `ess` installs; a mapping as their JSON form has it
can be encoded as well. Bytes 4 to 8 name the schema: a message of another one is refused.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from streaming_data_types import (
    deserialise_da00,
    deserialise_f144,
    deserialise_x5f2,
    serialise_da00,
    serialise_f144,
    serialise_x5f2,
)
from streaming_data_types.dataarray_da00 import Variable, da00_DataArray_t
from streaming_data_types.exceptions import StreamingDataTypesException
from streaming_data_types.logdata_f144 import ExtractedLogData
from streaming_data_types.status_x5f2 import StatusMessage

from headgate.core.codec import decode_json, encode_json
from headgate.errors import CodecError

# What a flatbuffer that is none makes of its reader, or a value that is none of its writer.
_BAD = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    StreamingDataTypesException,
    TypeError,
    ValueError,
    struct.error,
)


class _Flatbuffer(ABC):
    """A codec whose bytes are flatbuffers of one schema."""

    name: str
    content_type = "application/x-flatbuffers"
    json_is_base64 = False

    def encode(self, value: Any) -> bytes:
        try:
            body: bytes = self._write(self._value(value) if isinstance(value, Mapping) else value)
        except _BAD as error:
            raise CodecError(f"the value cannot be written as {self.name}: {error}") from None
        return body

    def decode(self, body: bytes) -> Any:
        if body[4:8] != self.name.encode():
            raise CodecError(f"not {self.name}: its schema is {body[4:8]!r}")
        try:
            return self._read(body)
        except _BAD as error:
            raise CodecError(f"not {self.name}: {error}") from None

    def check(self, body: bytes) -> None:
        self.decode(body)

    def to_json(self, body: bytes) -> bytes:
        return encode_json(self._plain(self.decode(body)))

    def from_json(self, text: bytes) -> bytes:
        return self.encode(decode_json(text))

    @abstractmethod
    def _write(self, value: Any) -> bytes: ...

    @abstractmethod
    def _read(self, body: bytes) -> Any: ...

    @abstractmethod
    def _plain(self, value: Any) -> dict[str, Any]: ...

    @abstractmethod
    def _value(self, plain: Mapping[str, Any]) -> Any: ...


class Da00Codec(_Flatbuffer):
    """Arrays with names, axes and units."""

    name = "da00"

    def _write(self, value: da00_DataArray_t) -> bytes:
        return bytes(serialise_da00(value.source_name, value.timestamp_ns, list(value.data)))

    def _read(self, body: bytes) -> da00_DataArray_t:
        return deserialise_da00(body)

    def _plain(self, value: da00_DataArray_t) -> dict[str, Any]:
        variables = [_plain_variable(variable) for variable in value.data]
        return {"source_name": value.source_name, "timestamp_ns": value.timestamp_ns, "data": variables}

    def _value(self, plain: Mapping[str, Any]) -> da00_DataArray_t:
        variables = [_variable(variable) for variable in plain["data"]]
        return da00_DataArray_t(plain["source_name"], plain["timestamp_ns"], variables)


class F144Codec(_Flatbuffer):
    """The value of something that is logged: a number, or an array of them."""

    name = "f144"

    def _write(self, value: ExtractedLogData) -> bytes:
        return bytes(serialise_f144(value.source_name, value.value, value.timestamp_unix_ns))

    def _read(self, body: bytes) -> ExtractedLogData:
        return deserialise_f144(body)

    def _plain(self, value: ExtractedLogData) -> dict[str, Any]:
        array = np.asarray(value.value)
        plain = {"source_name": value.source_name, "timestamp_unix_ns": value.timestamp_unix_ns}
        return plain | {"dtype": array.dtype.name, "value": array.tolist()}

    def _value(self, plain: Mapping[str, Any]) -> ExtractedLogData:
        value = np.array(plain["value"], plain.get("dtype"))
        return ExtractedLogData(plain["source_name"], value, plain["timestamp_unix_ns"])


class X5f2Codec(_Flatbuffer):
    """What a program says of itself."""

    name = "x5f2"

    def _write(self, value: StatusMessage) -> bytes:
        return bytes(serialise_x5f2(*value))

    def _read(self, body: bytes) -> StatusMessage:
        return deserialise_x5f2(body)

    def _plain(self, value: StatusMessage) -> dict[str, Any]:
        return dict(value._asdict())

    def _value(self, plain: Mapping[str, Any]) -> StatusMessage:
        return StatusMessage(**plain)


def _plain_variable(variable: Variable) -> dict[str, Any]:
    plain = {"name": variable.name, "axes": list(variable.axes or ())}
    plain |= {key: text for key in ("unit", "label", "source") if (text := getattr(variable, key)) is not None}
    if isinstance(variable.data, str):
        return plain | {"data": variable.data}
    array = np.asarray(variable.data)
    return plain | {"dtype": array.dtype.name, "data": array.tolist()}


def _variable(plain: Mapping[str, Any]) -> Variable:
    given = {key: plain[key] for key in ("name", "axes", "unit", "label", "source") if key in plain}
    data = plain["data"]
    return Variable(data=data if isinstance(data, str) else np.array(data, plain.get("dtype")), **given)
