"""The plug-ins: transports and codecs that other packages bring."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from headgate.app import plugins
from headgate.app.plugins import KNOWN_CODECS, KNOWN_TRANSPORTS, Known, make_codec, transport_class
from headgate.core.codec import TextCodec
from headgate.errors import CodecError, HeadgateError
from headgate.spec.plan import Plan
from headgate.spec.resolve import plan_text
from headgate.transport.memory import MemoryTransport
from tests.gates.web import web

HERE = "tests.app.test_plugins"


class Pigeons(MemoryTransport):
    """A transport of another package."""


class Shouting(TextCodec):
    """A codec of another package, with an option and a media type of its own."""

    name = "shouting"
    content_type = "text/x-shouting"

    def __init__(self, *, mark: str = "!") -> None:
        self.mark = mark

    def encode(self, value: str) -> bytes:
        return super().encode(value.upper() + self.mark)


INSTALLED = [
    EntryPoint("pigeons", f"{HERE}:Pigeons", "headgate.transports"),
    EntryPoint("memory", f"{HERE}:Pigeons", "headgate.transports"),
    EntryPoint("gone", "no_such_package:Transport", "headgate.transports"),
    EntryPoint("shouting", f"{HERE}:Shouting", "headgate.codecs"),
]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Only these are installed. What was asked for is noted."""
    asked: list[str] = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        asked.append(group)
        return [point for point in INSTALLED if point.group == group]

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    plugins._installed.cache_clear()
    yield asked
    plugins._installed.cache_clear()


def plan(config: str) -> Plan:
    return plan_text(config, known_transports=KNOWN_TRANSPORTS, known_codecs=KNOWN_CODECS)


async def test_a_transport_of_another_package_serves_streams() -> None:
    async with web(plan("streams: {letters: {transport: pigeons}}")) as (client, served):
        assert (await client.post("/streams/letters/messages", content=b"1")).status_code == 200
        assert isinstance(served.gate.streams["letters"].transport, Pigeons)
        assert (await client.get("/streams")).json()["streams"][0]["transport"] == "pigeons"


async def test_a_codec_of_another_package_reads_and_writes() -> None:
    config = "streams: {calls: {codec: {name: shouting, mark: '?'}}}"
    path = "/streams/calls/messages"
    async with web(plan(config)) as (client, _):
        await client.post(path, content=b'"hey"', headers={"Content-Type": "application/json"})
        await client.post(path, content=b"you\n", headers={"Content-Type": "text/x-shouting"})
        await client.post(path, content=b"there")
        assert [message["value"] for message in (await client.get(path)).json()] == ["HEY?", "you\n", "there"]


def test_names_that_are_ours_ask_for_no_package(installed: list[str]) -> None:
    assert "memory" in KNOWN_TRANSPORTS
    assert "json" in KNOWN_CODECS
    assert transport_class("memory") is MemoryTransport
    assert installed == []


def test_a_name_that_nobody_brings_is_not_known() -> None:
    assert "smoke" not in KNOWN_TRANSPORTS
    assert sorted(KNOWN_TRANSPORTS) == ["gone", "http", "kafka", "log", "memory", "pigeons"]
    assert len(Known(["a"], "headgate.codecs")) == 2


def test_a_plug_in_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(HeadgateError, match="the plug-in for transport 'gone' cannot be loaded: ModuleNotFoundError"):
        transport_class("gone")


def test_a_transport_whose_client_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'confluent_kafka'", name="confluent_kafka")

    monkeypatch.setattr(plugins, "import_module", missing)
    with pytest.raises(HeadgateError) as told:
        transport_class("kafka")
    assert str(told.value) == (
        "transport 'kafka' needs 'confluent_kafka', which is not installed: pip install 'headgate[kafka]'"
    )


def test_a_codec_refuses_options_that_it_does_not_have() -> None:
    with pytest.raises(HeadgateError, match="codec 'shouting' does not take these options: "):
        make_codec("shouting", {"volume": 11})
    with pytest.raises(CodecError, match="a delimiter is one printable character"):
        make_codec("delimited", {"delimiter": "||"})
