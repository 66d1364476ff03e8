"""What a command has to be, what its type adds, and what is published of it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.command import Catalog, CommandType, commands_of, message_of, seen
from headgate.core.json_schema import BadSchema, compile_schema
from headgate.errors import InvalidCommand

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
COMMAND: dict[str, Any] = {
    "device_id": "efento_device_001",
    "command_type": "config_update",
    "payload": {"measurement_interval": 600},
    "protocol": "coap",
    "parser_script_ref": "efento_bidirectional_parser.py",
}
SCHEMA = {"type": "object", "properties": {"deep": {"type": "array", "items": {"type": "integer"}}}}
UPDATE = CommandType(
    "config_update",
    check=compile_schema(SCHEMA, "payload"),
    protocols=("coap", "mqtt"),
    expires=60,
    defaults={"coap": {"confirmable": True, "metadata": {"a": 1, "b": 1}}},
)


def read(catalog: Catalog | None = None, **more: Any) -> Any:
    return (catalog or Catalog()).read(json.dumps(COMMAND | more).encode(), NOW)


def refusal(catalog: Catalog | None = None, **more: Any) -> str:
    with pytest.raises(InvalidCommand) as raised:
        read(catalog, **more)
    return str(raised.value)


def test_what_is_published_is_what_connectors_read() -> None:
    assert json.loads(message_of(read(), "r", NOW)) == {
        "request_id": "r",
        "timestamp": "2026-01-02T03:04:05.678901Z",
        **COMMAND,
        "metadata": None,
        "qos": None,
        "retain": None,
        "confirmable": None,
    }
    more = json.loads(message_of(read(priority=3, expires_at="2026-01-03T00:00:00+01:00", retain=False), "r", NOW))
    assert (more["priority"], more["expires_at"], more["retain"]) == (3, "2026-01-02T23:00:00Z", False)
    assert "not_before" not in more


def test_protocols_are_lower_case() -> None:
    assert read(protocol="CoAP").protocol == "coap"
    assert "'http' is not one of mqtt, coap" in refusal(protocol="http")
    assert read(Catalog(protocols=("lorawan",)), protocol="LoRaWAN").protocol == "lorawan"


@pytest.mark.parametrize(
    ("more", "begins"),
    [
        ({"device_id": 5}, "device_id: expected str, got int"),
        ({"device_id": ""}, "device_id: expected str of length >= 1"),
        ({"device_id": "x" * 257}, "device_id: expected str of length <= 256"),
        ({"device_id": "a\0"}, "device_id and command_type must not hold a NUL"),
        ({"payload": []}, "payload: expected object, got array"),
        ({"payload": None}, "payload: expected object, got null"),
        ({"qos": 3}, "qos: expected int <= 2"),
        ({"retain": "yes"}, "retain: expected bool | null, got str"),
        ({"priority": 10}, "priority: expected int <= 9"),
        ({"parser_script_ref": "parser.js"}, "parser_script_ref: must be the name of a script that ends in .py"),
        ({"request_id": "a b"}, "request_id: must be"),
        ({"request_id": ""}, "request_id: must be"),
        ({"prority": 1}, 'prority: there is no such field; did you mean "priority"?'),
        ({"not_before": "2026-01-03"}, "not_before: "),
        ({"not_before": "2026-01-03T00:00:00"}, "not_before: has no time zone"),
        ({"expires_at": "2026-01-02T03:04:05Z"}, "expires_at: is over already"),
        ({"not_before": "9999-12-31T23:59:59-23:59"}, "not_before: must be between 1970 and 9999"),
        ({"expires_at": "0001-01-01T00:00:00+10:00"}, "expires_at: must be between 1970 and 9999"),
        ({"command_type": "feedback"}, "command_type: feedback is what devices answer with"),
        (
            {"not_before": "2026-01-03T00:00:00Z", "expires_at": "2026-01-03T00:00:00Z"},
            "expires_at: is before not_before",
        ),
    ],
)
def test_what_is_wrong_is_told_by_the_field(more: dict[str, Any], begins: str) -> None:
    assert refusal(**more).startswith(begins)


def test_what_is_missing_is_told_by_the_field() -> None:
    with pytest.raises(InvalidCommand, match=r"^payload: is missing$"):
        Catalog().read(b'{"device_id": "a", "command_type": "b"}', NOW)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"5", b'{"device_id": "\xff"}', b"[" * 100_000, b'{"a": NaN}'])
def test_what_is_no_command_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidCommand):
        Catalog().read(text, NOW)
    with pytest.raises(InvalidCommand):
        commands_of(text, 10)


def test_a_type_says_what_is_allowed_and_fills_in_the_rest() -> None:
    catalog = Catalog([UPDATE])
    request = read(catalog, metadata={"b": 2})
    assert (request.confirmable, request.metadata) == (True, {"a": 1, "b": 2})
    assert request.expires_at == NOW + timedelta(seconds=60)
    assert read(catalog, confirmable=False).confirmable is False
    assert read(catalog, not_before="2026-01-03T00:00:00Z").expires_at == datetime(2026, 1, 3, 0, 1, tzinfo=UTC)
    assert read(catalog, protocol="mqtt").confirmable is None
    assert refusal(catalog, payload={"deep": [1, "x"]}) == 'payload.deep.1: the value is not of type "integer"'
    only = Catalog([CommandType("config_update", protocols=("mqtt",))])
    assert refusal(only) == "protocol: config_update goes over mqtt, not over coap"


def test_a_command_that_may_have_been_sent_before_may_be_over() -> None:
    over = "2026-01-02T03:04:05Z"
    assert read(request_id="r", expires_at=over).request_id == "r"
    assert Catalog().read(json.dumps(COMMAND | {"expires_at": over}).encode(), NOW, again=True).expires_at is not None
    late = read(Catalog([UPDATE]), not_before="9998-12-31T23:59:59Z")
    assert late.expires_at is not None


def test_types_that_nobody_described_are_let_through_or_not() -> None:
    assert read(Catalog([UPDATE]), command_type="other").command_type == "other"
    told = refusal(Catalog([UPDATE], closed=True), command_type="config_updat")
    assert told == "command_type: there is no type 'config_updat' here; did you mean \"config_update\"?"


def test_a_batch_is_cut_into_the_texts_of_its_commands() -> None:
    texts = commands_of(b'{"commands": [{"a": 1}, 5, "x"]}', 3)
    assert [bytes(text) for text in texts] == [b'{"a": 1}', b"5", b'"x"']
    with pytest.raises(InvalidCommand, match="3 are over the limit of 2"):
        commands_of(b'{"commands": [1, 2, 3]}', 2)
    with pytest.raises(InvalidCommand, match="commands: is missing"):
        commands_of(b"{}", 2)


@pytest.mark.parametrize("schema", [{"type": "objct"}, {"$ref": "http://example.com/x"}, {"$ref": "#/nope"}])
def test_what_is_no_schema_is_refused_without_asking_anybody(schema: dict[str, Any]) -> None:
    with pytest.raises(BadSchema):
        compile_schema(schema, "payload")


def test_others_write_commands_and_answers_too() -> None:
    found = seen(b'{"request_id": "r", "timestamp": "2026-01-02T03:04:05", "device_id": 5, "status": "ok"}')
    assert found is not None
    assert (found.request_id, found.device_id, found.status) == ("r", "", "ok")
    for text in (b"", b"5", b"{}", b'{"request_id": 5}', b'{"request_id": "a b"}', b"\xff", b"[" * 100_000):
        assert seen(text) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_nothing_on_a_stream_breaks_who_reads_it(value: object) -> None:
    seen(json.dumps(value).encode())
    seen(json.dumps({"request_id": "r", "payload": value, "status": value, "expires_at": value}).encode())
