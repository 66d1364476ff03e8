"""The streams: what a schema has of them to ask for, to publish to and to subscribe to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from strawberry.tools import create_type

from headgate.core.codec import encode_json
from headgate.core.match import Facet, Selection, Source
from headgate.core.message import Message
from headgate.core.position import Last, Snapshot, Start
from headgate.core.scopes import READ, WRITE
from headgate.core.wire import JsonMessage, envelope, message_of
from headgate.errors import BadRequest, CodecError, Forbidden, InvalidParameter, NotFound
from headgate.interface.filter import Filter, selection
from headgate.interface.graphql.context import Context
from headgate.interface.graphql.fields import (
    JSON,
    Argument,
    Long,
    Names,
    Text,
    entry,
    field,
    flow,
    many,
    maybe,
    plain,
    record,
    subscription,
)
from headgate.interface.graphql.limits import PAGE
from headgate.interface.graphql.reading import latest, read
from headgate.interface.graphql.shapes import NAME
from headgate.interface.place import follow_at, start_at
from headgate.runtime.hub import Hub
from headgate.runtime.stream import Stream

MOST_MESSAGES = 1000  # in one answer, or published at once
OWN_FIELDS = ("stream", "streams")
_KEY = Filter("key", Facet(Source.KEY))
_TYPES: Mapping[str, Any] = {"string": str, "integer": Long, "number": float, "boolean": bool}


@dataclass(frozen=True, slots=True)
class Reading:
    """A stream that is read, and what may be asked for beside its keys."""

    hub: Hub
    filters: Sequence[Filter] = ()

    @property
    def name(self) -> str:
        """The stream's."""
        return self.hub.stream.name

    @property
    def asked(self) -> Sequence[Filter]:
        """All that may be asked for."""
        return [_KEY, *self.filters]

    def wanted(self, context: Context, given: Mapping[str, Any]) -> Selection:
        """The messages that are asked for, as far as the caller may see them. Raises a `HeadgateError`."""
        keys = context.keys(READ, self.name)
        texts = {item.name: [_text(value) for value in given.get(item.name, ())] for item in self.asked}
        return selection(self.asked, texts).within(keys)


def _text(value: Any) -> str:
    """A value as it would stand in a URL."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a subscription follows. It is the hub that brings it: nobody iterates this."""

    hub: Hub
    selection: Selection
    start: Start | Snapshot

    def __aiter__(self) -> Any:
        raise NotImplementedError


def shown(message: Message[bytes], stream: Stream, place: str) -> dict[str, Any]:
    """A message as clients see it."""
    form = envelope(message, stream.codec, place or None)
    return {
        "value": form.value,
        "encoding": form.encoding,
        "key": form.key,
        "headers": [{"name": name, "value": value} for name, value in form.headers],
        "timestamp": form.timestamp,
        "stream": stream.name,
        "position": form.position,
    }


_HEADER = record("Header", {"name": (str, ""), "value": (Text, "")})
MESSAGE = record(
    "Message",
    {
        "value": (JSON, "The value; base64 where `encoding` says so."),
        "encoding": (maybe(str), "`base64`, or nothing."),
        "key": (maybe(Text), ""),
        "headers": (many(_HEADER), ""),
        "timestamp": (Long, "Nanoseconds since the epoch, UTC."),
        "stream": (str, "The stream's name."),
        "position": (maybe(str), "The place after this message: for `after`, here and elsewhere."),
    },
)
_WINDOW = record(
    "Window",
    {
        "messages": (many(MESSAGE), "In their order."),
        "position": (str, "The place after all that was looked at: go on with `after`."),
        "missed": (maybe(Long), "How many fell away before they could be read; null: nobody can say."),
    },
)
_MESSAGE_INPUT = entry(
    "MessageInput",
    {
        "value": (maybe(JSON), "It has to be there, and may be null; base64 where `encoding` says so."),
        "encoding": (maybe(str), "`base64`, or nothing."),
        "key": (maybe(Text), ""),
        "headers": (maybe(many(entry("HeaderInput", {"name": (str, ""), "value": (Text, "")}))), ""),
        "timestamp": (maybe(Long), "Nanoseconds since the epoch, UTC."),
    },
)
_PUBLISHED = record(
    "Published",
    {
        "published": (Long, "How many messages are kept."),
        "failed": (Long, "How many could not be read."),
        "position": (maybe(str), "The place after the last of them."),
        "positions": (list[str], "The place after each."),
        "errors": (many(record("PublishError", {"index": (Long, ""), "message": (str, "")})), ""),
    },
)
_KEY_ARGUMENT = Argument("key", maybe(list[str]), "Only messages with one of these keys.", None)
_AFTER = Argument("after", maybe(str), "What follows this place: a position.", None)
_LAST = Argument("last", maybe(int), "Begin so many messages before the end.", None)
_LIMIT = Argument("limit", int, f"At most so many messages, up to {MOST_MESSAGES:,}.", PAGE)
_FROM = Argument("from", maybe(str), "oldest, newest, last:N or an RFC 3339 time.", None)
_SINCE = Argument(
    "from",
    maybe(str),
    "newest (default), oldest, last:N, an RFC 3339 time, or snapshot: the latest of each key.",
    None,
)
OWN_ARGUMENTS = frozenset({"key", "last", "from", "after", "limit", "name"})


class Streams:
    """The fields of all streams. Those whose names GraphQL knows are named so; all are found by `stream(name:)`."""

    def __init__(self, streams: Mapping[str, Stream], readings: Mapping[str, Reading], names: Names) -> None:
        self._streams, self._readings, self._names = streams, readings, names

    def queries(self) -> list[Any]:
        """What can be asked for."""
        listed = field("streams", list[str], self._listed, (), "Those that you may read.")
        if not self._readings:
            return [listed]
        plain_stream = _stream_type("Stream", ())
        named = [
            field(name, self._type(reading) or plain_stream, self._reader(reading), (), f"The stream {name}.")
            for name, reading in self._named()
        ]
        return [listed, field("stream", plain_stream, self._find, (_NAME,), "A stream."), *named]

    def _type(self, reading: Reading) -> type | None:
        """The type of a stream that has filters of its own."""
        return _stream_type(self._names.free("Stream", reading.name), reading.filters) if reading.filters else None

    def subscriptions(self) -> list[Any]:
        """What can be followed."""
        if not self._readings:
            return []
        events = flow(MESSAGE)
        told = "What comes, from now on or from where you say. `extensions` has the position, or a gap."
        named = [
            subscription(name, events, self._follower(reading), [*_arguments(reading.filters), _AFTER, _SINCE], told)
            for name, reading in self._named()
        ]
        by_name = [_NAME, _KEY_ARGUMENT, _AFTER, _SINCE]
        return [subscription("stream", events, self._follow, by_name, told), *named]

    def mutations(self) -> list[Any]:
        """What can be published."""
        if not self._streams:
            return []
        arguments = [Argument("stream", str), Argument("messages", many(_MESSAGE_INPUT))]
        told = "Publish; the answer means that the messages are safe. `errors` names those that could not be read."
        return [field("publish", _PUBLISHED, self._publish, arguments, told)]

    def _named(self) -> list[tuple[str, Reading]]:
        return [(n, r) for n, r in self._readings.items() if NAME.fullmatch(n) and n not in OWN_FIELDS]

    def _listed(self, _: object, context: Context, __: object) -> list[str]:
        return [name for name in self._readings if context.caller.keys(READ, [context.path, name]) is not None]

    def _find(self, _: object, __: Context, given: Mapping[str, Any]) -> Reading:
        return self._by_name(given["name"])

    def _by_name(self, name: str) -> Reading:
        if name not in self._readings:
            told = "is a queue, and reading takes" if name in self._streams else "is not there"
            raise NotFound(f"stream {name[:200]!r} {told}; there are {', '.join(self._readings)}")
        return Reading(self._readings[name].hub)

    def _reader(self, reading: Reading) -> Any:
        return lambda _, __, ___: reading

    def _follower(self, reading: Reading) -> Any:
        return lambda _, context, given: _followed(reading, context, given)

    def _follow(self, _: object, context: Context, given: Mapping[str, Any]) -> Wanted:
        return _followed(self._by_name(given["name"]), context, given)

    async def _publish(self, _: object, context: Context, given: Mapping[str, Any]) -> dict[str, Any]:
        name, asked = given["stream"], given["messages"]
        keys = context.keys(WRITE, name)
        if name not in self._streams:
            raise NotFound(f"there is no stream {name[:200]!r}; there are {', '.join(self._streams)}")
        if len(asked) > MOST_MESSAGES:
            raise BadRequest(f"{len(asked):,} messages are over the limit of {MOST_MESSAGES:,}; send smaller batches")
        stream = self._streams[name]
        parsed = [_parsed(plain(item), stream) for item in asked]
        good = [item for item in parsed if isinstance(item, Message)]
        if others := sum(not keys.fit(message.key) for message in good):
            raise Forbidden(f"{others} of {len(good)} messages have keys other than {', '.join(keys.patterns)}")
        receipt = await context.unless_drained(stream.publish(good)) if good else None
        positions = [str(place) for place in receipt.positions()] if receipt else []
        return {
            "published": len(positions),
            "failed": len(parsed) - len(good),
            "position": positions[-1] if positions else None,
            "positions": positions,
            "errors": [{"index": i, "message": str(e)} for i, e in enumerate(parsed) if isinstance(e, CodecError)],
        }


_NAME = Argument("name", str, "The stream's name.")


def _parsed(given: Mapping[str, Any], stream: Stream) -> Message[bytes] | CodecError:
    if "value" not in given:
        return CodecError("a message needs a value; null is one")
    try:
        headers = [(item["name"], item["value"]) for item in given.get("headers") or ()]
        facts = {"value": given["value"], "headers": headers}
        others = {name: given[name] for name in ("key", "encoding", "timestamp") if given.get(name) is not None}
        return message_of(msgspec.convert(_raw(facts | others), JsonMessage), stream.codec)
    except msgspec.ValidationError as error:
        return CodecError(f"not a message: {error}")
    except CodecError as error:
        return error


def _raw(facts: dict[str, Any]) -> dict[str, Any]:
    return facts | {"value": msgspec.Raw(encode_json(facts["value"]))}


def _arguments(filters: Sequence[Filter]) -> list[Argument]:
    """What may be asked for of a stream: any of the values that are given."""
    more = [Argument(i.name, maybe(many(_TYPES[i.facet.kind])), i.meaning, None) for i in filters]
    return [_KEY_ARGUMENT, *more]


def _stream_type(name: str, filters: Sequence[Filter]) -> type:
    wanted = _arguments(filters)
    told = "The newest message of those that the gate has at hand."
    page = [*wanted, _LAST, _FROM, _AFTER, _LIMIT]
    return create_type(
        name,
        [
            field("name", str, _name),
            field("latest", maybe(MESSAGE), _latest, wanted, told),
            field("window", _WINDOW, _window, page, "Messages from a place on; the last ones, when none is given."),
        ],
    )


def _name(reading: Reading, _: Context, __: object) -> str:
    return reading.name


async def _latest(reading: Reading, context: Context, given: Mapping[str, Any]) -> dict[str, Any] | None:
    entry = await latest(reading.hub, reading.wanted(context, given))
    return None if entry is None else shown(entry.message, reading.hub.stream, entry.place)


async def _window(reading: Reading, context: Context, given: Mapping[str, Any]) -> dict[str, Any]:
    limit, last = given["limit"], given.get("last")
    for name, number in (("limit", limit), ("last", last)):
        if number is not None and not 1 <= number <= MOST_MESSAGES:
            raise InvalidParameter(f"{name!r} must be from 1 to {MOST_MESSAGES:,}, not {number}")
    if last is not None and given.keys() & {"from", "after"}:
        raise BadRequest("give one of `last`, `from` and `after`")
    start: Start = Last(last or limit)
    if last is None:
        start = start_at(given.get("after"), given.get("from"), start)
    found = await read(reading.hub, reading.wanted(context, given), start, limit)
    stream = reading.hub.stream
    messages = [shown(message, stream, place) for message, place in found.messages]
    return {"messages": messages, "position": str(found.position), "missed": found.missed}


def _followed(reading: Reading, context: Context, given: Mapping[str, Any]) -> Wanted:
    start = context.resumed or follow_at(given.get("after"), given.get("from"))
    return Wanted(reading.hub, reading.wanted(context, given), start)
