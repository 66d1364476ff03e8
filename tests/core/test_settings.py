"""Settings: what a fold of the stream makes of them, also of a stream that has forgotten."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.core.message import Message
from headgate.core.settings import Key, Settings, change, read_update, values_for
from headgate.errors import SettingConflict, SettingRefused


def told(fold: Settings, offset: int, message: Message[bytes]) -> bool:
    return fold.apply(read_update(replace(message, offset=offset)))


def folded(*texts: tuple[str, bytes]) -> Settings:
    fold = Settings()
    for offset, (key, text) in enumerate(texts):
        told(fold, offset, change(Key.parse(key), text, str(offset)))
    return fold


def shown(fold: Settings) -> dict[str, Any]:
    return {str(entry.key): entry.value for entry in fold.entries.values() if entry.is_set}


@pytest.mark.parametrize(
    "text", ["", "a", "a/b", "a/b/c/d", "a//c", "/b/c", "a/b/", "a/b/*", "a/b/\n", "a/" + "b" * 201 + "/c"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(SettingRefused):
        Key.parse(text)


def test_the_latest_value_of_a_key_counts() -> None:
    assert shown(folded(("a/s/k", b"1"), ("a/s/k", b"2"), ("b/s/k", b"3"))) == {"a/s/k": 2, "b/s/k": 3}


def test_a_value_for_all_sources_clears_earlier_ones_for_some() -> None:
    fold = folded(
        ("a/s/k", b"1"), ("b/s/k", b"2"), ("a/s/other", b"3"), ("a/t/k", b"4"), ("*/s/k", b"5"), ("b/s/k", b"6")
    )
    assert shown(fold) == {"a/s/other": 3, "a/t/k": 4, "*/s/k": 5, "b/s/k": 6}
    assert values_for(fold.entries, "s") == {"*": {"k": 5}, "a": {"k": 5, "other": 3}, "b": {"k": 6}}


def test_a_value_for_all_services_clears_earlier_ones_for_one() -> None:
    fold = folded(("*/s/k", b"1"), ("a/t/k", b"2"), ("*/*/k", b"3"), ("*/t/k", b"4"))
    assert shown(fold) == {"*/*/k": 3, "*/t/k": 4}
    assert values_for(fold.entries, "s") == {"*": {"k": 3}}


def test_of_two_values_that_do_not_cover_each_other_the_later_counts() -> None:
    assert values_for(folded(("a/*/k", b"1"), ("*/s/k", b"2")).entries, "s")["a"] == {"k": 2}
    assert values_for(folded(("*/s/k", b"1"), ("a/*/k", b"2")).entries, "s")["a"] == {"k": 2}


def test_an_empty_text_takes_a_value_away() -> None:
    fold = folded(("a/s/k", b"1"), ("a/s/k", b""))
    assert shown(fold) == {}
    assert fold.version(Key.parse("a/s/k")) == 0


def test_a_version_that_is_not_the_expected_one_is_a_conflict() -> None:
    fold = folded(("a/s/k", b"1"))
    with pytest.raises(SettingConflict):
        told(fold, 1, change(Key.parse("a/s/k"), b"2", "", expects=0))
    assert told(fold, 2, change(Key.parse("a/s/k"), b"2", "", expects=1))
    assert fold.version(Key.parse("a/s/k")) == 3


def test_a_refused_value_changes_nothing() -> None:
    def check(entries: Any, entry: Any) -> None:
        if entry.value == 13:
            raise SettingRefused("not thirteen")

    fold = Settings(check)
    told(fold, 0, change(Key.parse("a/s/k"), b"1", ""))
    with pytest.raises(SettingRefused):
        told(fold, 1, change(Key.parse("*/s/k"), b"13", ""))
    assert shown(fold) == {"a/s/k": 1}


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (None, b"1", ()),
        (b"\xff/s/k", b"1", ()),
        (b"a/s/k", b"{", ()),
        (b"a/s/k", b"1", (("headgate-expects", b"x"),)),
        (b"a/s/k", b"1", (("headgate-repeats", b"1"),)),
        (b"a/s/k", b"1", (("headgate-repeats", b"1 2 3"),)),
        (b"a/s/k", b"1", (("headgate-expects", b"\xff"),)),
    ],
)
def test_a_message_that_says_nothing_is_refused(key: bytes | None, value: bytes, headers: Any) -> None:
    with pytest.raises(SettingRefused):
        read_update(Message(key=key, value=value, headers=headers, offset=3))


KEYS = ["a/s/k", "b/s/k", "*/s/k", "a/*/k", "*/*/k", "a/s/j"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from(KEYS), st.sampled_from([b"1", b"2", b""])),
        st.tuples(st.just("repeat"), st.integers(0, 5), st.integers(0, 3)),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(STEPS, st.integers(0, 60))
def test_who_reads_a_stream_that_has_forgotten_knows_the_same(steps: list[tuple[Any, ...]], forgotten: int) -> None:
    """Repetitions come late, several times, and in any order; what is forgotten was repeated before."""
    stream: list[Message[bytes]] = []
    fold = Settings()
    late: list[Message[bytes]] = []  # repetitions that are on their way

    def publish(message: Message[bytes]) -> None:
        stream.append(replace(message, offset=len(stream)))
        fold.apply(read_update(stream[-1]))

    for step in steps:
        if step[0] == "set":
            publish(change(Key.parse(step[1]), step[2], ""))
        else:
            late += [entry.again(0) for entry in fold.due(len(stream))[: step[1]]]
            for _ in range(min(step[2], len(late))):
                publish(late.pop(len(late) // 2))
    horizon = min(forgotten, len(stream))
    for entry in fold.due(horizon):
        publish(entry.again(0))
    newcomer = Settings()
    for message in stream[horizon:]:
        newcomer.apply(read_update(message))
    assert shown(newcomer) == shown(fold)
    assert {e.key: e.version for e in newcomer.entries.values()} == {e.key: e.version for e in fold.entries.values()}
