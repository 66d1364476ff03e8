"""The view: what nodes read of their settings, and what they refuse."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import pytest

from headgate import Config
from headgate.core.message import Message
from headgate.core.settings import Key, Settings, change, read_update
from headgate.errors import NodeError, SettingRefused
from headgate.runtime.config.view import Declared, defaults_of


class Range(msgspec.Struct):
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError("low must be below high")


class Bins(msgspec.Struct, rename="camel"):
    bin_count: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    span: Range = msgspec.field(default_factory=Range)
    tags: list[str] = []


@dataclass
class Rate:
    rate: int = 5
    names: list[str] = field(default_factory=list)


class Told:
    """A service that is told things."""

    def __init__(self) -> None:
        self.declared = Declared("monitor")
        self.bins, self.rate = self.declared.of(Bins), self.declared.of(Rate)
        self._fold = Settings(self.declared.check)
        self._offset = 0

    def set(self, key: str, text: bytes) -> None:
        message = msgspec.structs.replace(change(Key.parse(key), text, ""), offset=self._offset)
        self._offset += 1
        self._fold.apply(read_update(message))
        self.declared.show(self._fold.entries)


def test_before_anybody_sets_one_the_defaults_count() -> None:
    told = Told()
    assert told.bins() == told.bins("left") == Bins()
    assert told.rate() == Rate()


def test_a_source_has_its_own_or_what_is_for_all() -> None:
    told = Told()
    told.set("*/monitor/binCount", b"20")
    told.set("left/monitor/binCount", b"30")
    told.set("*/monitor/rate", b"7")
    assert (told.bins().bin_count, told.bins("left").bin_count, told.bins("right").bin_count) == (20, 30, 20)
    assert told.rate("left").rate == 7
    told.set("*/monitor/binCount", b"40")
    assert told.bins("left").bin_count == 40
    told.set("*/monitor/binCount", b"")
    assert told.bins("left") == Bins()


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("*/monitor/binCount", b"0", "binCount: Expected `int` >= 1"),
        ("left/monitor/binCount", b'"many"', "binCount: Expected `int`, got `str`"),
        ("*/*/binCount", b"1.5", "binCount: Expected `int`, got `float`"),
        ("*/monitor/tags", b'["a", 3]', "tags[1]: Expected `str`, got `int`"),
        ("*/monitor/span", b'{"low": "x"}', "span.low: Expected `float`, got `str`"),
        ("*/monitor/span", b'{"low": 5}', "span: low must be below high"),
    ],
)
def test_a_bad_value_is_refused_with_its_place_and_changes_nothing(key: str, text: bytes, reason: str) -> None:
    told = Told()
    told.set("*/monitor/binCount", b"20")
    with pytest.raises(SettingRefused) as refused:
        told.set(key, text)
    assert str(refused.value) == reason
    assert told.bins() == Bins(bin_count=20)


def test_what_is_for_another_service_or_undeclared_may_be_anything() -> None:
    told = Told()
    told.set("*/other/binCount", b'"many"')
    told.set("*/monitor/colour", b"[1]")
    assert told.bins() == Bins()


def test_the_schema_says_what_may_be_set() -> None:
    schema = Told().declared.schema()
    assert schema["properties"]["binCount"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10}
    assert schema["properties"]["rate"] == {"type": "integer", "default": 5}
    assert "Range" in schema["$defs"]


@pytest.mark.parametrize("declared", [int, None, Any, type("Plain", (), {}), msgspec.defstruct("Bare", [("x", int)])])
def test_what_cannot_be_settings_is_refused(declared: Any) -> None:
    with pytest.raises(NodeError, match="fields all have defaults"):
        defaults_of(declared)


def test_a_function_is_called_with_settings_of_its_own_in_a_test() -> None:
    def count(message: Message[int], config: Config[Bins]) -> int:
        return message.value * config().bin_count

    assert count(Message(value=2), Config(Bins(bin_count=3))) == 6
