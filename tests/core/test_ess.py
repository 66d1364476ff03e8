"""Flatbuffers: what goes in comes out, also by way of JSON, and what is none is refused."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_data_types import serialise_ev44
from streaming_data_types.dataarray_da00 import Variable, da00_DataArray_t
from streaming_data_types.logdata_f144 import ExtractedLogData
from streaming_data_types.status_x5f2 import StatusMessage

from headgate.core.codec import encode_json
from headgate.core.ess import Da00Codec, F144Codec, X5f2Codec
from headgate.errors import CodecError

DA00, F144, X5F2 = Da00Codec(), F144Codec(), X5f2Codec()
COUNTS = da00_DataArray_t(
    "monitor",
    1_700_000_000_123_456_789,
    [
        Variable("signal", np.arange(6, dtype=np.int32).reshape(2, 3), axes=["y", "x"], unit="counts", label="Counts"),
        Variable("x", np.array([0.5, 1.5, float("inf")]), axes=["x"], unit="ms"),
        Variable("title", "grün", source="user"),
    ],
)
STATUS = StatusMessage("headgate", "0.1", "monitor", "host", 42, 1000, '{"state": "ok"}')


def test_arrays_come_back_as_they_were() -> None:
    read = DA00.decode(DA00.encode(COUNTS))
    assert (read.source_name, read.timestamp_ns) == (COUNTS.source_name, COUNTS.timestamp_ns)
    assert [v.name for v in read.data] == ["signal", "x", "title"]
    assert read.data[0].data.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (read.data[0].data.dtype, read.data[0].axes, read.data[0].unit) == (np.int32, ["y", "x"], "counts")
    assert (read.data[2].data, read.data[2].source) == ("grün", "user")


@pytest.mark.parametrize("value", [np.float64(1.5), np.int32(-3), np.arange(5, dtype=np.uint16), np.array([0.5])])
def test_log_values_come_back_as_they_were(value: Any) -> None:
    read = F144.decode(F144.encode(ExtractedLogData("temp", value, 7)))
    assert (read.source_name, read.timestamp_unix_ns) == ("temp", 7)
    assert np.array_equal(read.value, value)
    assert np.asarray(read.value).dtype == np.asarray(value).dtype or np.ndim(value) == 0


def test_a_status_comes_back_as_it_was() -> None:
    assert X5F2.decode(X5F2.encode(STATUS)) == STATUS


@pytest.mark.parametrize(
    ("codec", "value"),
    [(DA00, COUNTS._replace(data=COUNTS.data[::2])), (F144, ExtractedLogData("t", np.arange(3.0), 7)), (X5F2, STATUS)],
)
def test_json_is_a_way_there_and_back(codec: Any, value: Any) -> None:
    body = codec.encode(value)
    assert codec.to_json(codec.from_json(codec.to_json(body))) == codec.to_json(body)
    assert codec.decode(codec.from_json(codec.to_json(body)))[0] == value[0]


def test_a_mapping_may_leave_out_what_can_be_told() -> None:
    body = DA00.encode(
        {"source_name": "m", "timestamp_ns": 1, "data": [{"name": "signal", "axes": ["x"], "data": [1, 2]}]}
    )
    assert DA00.decode(body).data[0].data.tolist() == [1, 2]


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"source_name": "m"},
        {"source_name": "m", "timestamp_ns": 1, "data": []},
        {"source_name": 5, "timestamp_ns": 1, "data": [{"name": "a", "data": 1}]},
        {"source_name": "m", "timestamp_ns": "x", "data": [{"name": "a", "data": [1]}]},
        {"source_name": "m", "timestamp_ns": 2**80, "data": [{"name": "a", "data": [1]}]},
        {"source_name": "m", "timestamp_ns": 1, "data": [{"name": "a", "data": [[1], [1, 2]]}]},
        {"source_name": "m", "timestamp_ns": 1, "data": [{"name": "a", "dtype": "complex128", "data": [1]}]},
        {"source_name": "m", "timestamp_ns": 1, "data": [{"name": "a", "dtype": "object", "data": [{}]}]},
        5,
        "text",
    ],
)
def test_what_cannot_be_written_is_refused(bad: Any) -> None:
    for codec in (DA00, F144, X5F2):
        with pytest.raises(CodecError):
            codec.encode(bad)
        with pytest.raises(CodecError):
            codec.from_json(encode_json(bad))


def test_another_schema_is_refused_by_its_name() -> None:
    events = serialise_ev44("m", 1, [1], [0], [1, 2], [3, 4])
    for codec in (DA00, F144, X5F2):
        with pytest.raises(CodecError, match="its schema is b'ev44'"):
            codec.check(events)
    with pytest.raises(CodecError):
        DA00.decode(b"")


@settings(max_examples=600, deadline=None)
@given(st.sampled_from([0, 1, 2]), st.data())
def test_damaged_bytes_are_refused_or_read_and_nothing_else(which: int, data: st.DataObject) -> None:
    codec, good = [(DA00, DA00.encode(COUNTS)), (F144, F144.encode(LOGGED)), (X5F2, X5F2.encode(STATUS))][which]
    body = bytearray(good[: data.draw(st.integers(0, len(good)))] if data.draw(st.booleans()) else good)
    for _ in range(data.draw(st.integers(0, 6))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CodecError):
        codec.to_json(bytes(body))  # type: ignore[attr-defined]


LOGGED = ExtractedLogData("temperature", np.arange(10.0), 7)
