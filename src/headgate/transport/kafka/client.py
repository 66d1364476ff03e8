"""The client library: how it is configured, and what its errors mean."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from headgate.errors import HeadgateError, TransportError, Unavailable

try:
    import confluent_kafka as client
    from confluent_kafka import admin
except ImportError as error:  # pragma: no cover - the extra is part of the tests' environment
    raise HeadgateError("transport kafka needs confluent-kafka: pip install 'headgate[kafka]'") from error

logger = logging.getLogger("headgate.transport.kafka")
KafkaError: Any = client.KafkaError
KafkaException: Any = client.KafkaException
TopicPartition: Any = client.TopicPartition
AdminClient: Any = admin.AdminClient
NewTopic: Any = admin.__dict__["NewTopic"]  # the package names them and its type information does not
OffsetSpec: Any = admin.__dict__["OffsetSpec"]
Options = Mapping[str, str | int | float | bool]
__all__ = ["AdminClient", "KafkaError", "KafkaException", "NewTopic", "OffsetSpec", "TopicPartition", "client"]


class Seldom(logging.Filter):
    """Lets a kind of line through once in so many seconds: the library repeats itself with every attempt."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds, self._clock = seconds, clock
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is news. Its first word is the kind; there are a few dozen of them."""
        kind, now = record.getMessage().partition(" ")[0], self._clock()
        if now - self._last.get(kind, -self._seconds) < self._seconds:
            return False
        self._last[kind] = now
        return True


_library = logging.getLogger("headgate.transport.kafka.library")
_library.addFilter(Seldom(10.0))


def base_settings(bootstrap_servers: str, options: Options) -> dict[str, Any]:
    """What producers, consumers and the administration have in common. `options` win."""
    return {
        "bootstrap.servers": bootstrap_servers,
        "client.id": "headgate",
        "logger": _library,
        "log.connection.close": False,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "socket.keepalive.enable": True,
        **options,
    }


def producer_settings(base: Mapping[str, Any], send_timeout: float) -> dict[str, Any]:
    """Acknowledged by all, never doubled, in order; no message waits longer than `send_timeout`."""
    return {
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",  # the one of the Java client, so that keys land where its keys land
        "message.timeout.ms": int(send_timeout * 1000),
        "queue.buffering.max.messages": 100_000,
        # While two requests are under way the rest gathers for the next one: larger requests, and no timer.
        "max.in.flight.requests.per.connection": 2,
        "linger.ms": 0,  # whole milliseconds are all there is, and one is five times a broker's round trip
        **base,
    }


def consumer_settings(base: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Offsets move when a reader commits, and never by themselves."""
    return {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": False,
        "fetch.wait.max.ms": 100,
        "fetch.min.bytes": 1,
        "queued.max.messages.kbytes": 16_384,
        "topic.metadata.refresh.interval.ms": 30_000,
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 1000,
        **base,
    }


def translated(error: Any, what: str) -> TransportError:
    """What an error of the library means to whoever publishes or reads."""
    reason = f"{what}: {error.str()}"
    if error.code() in _NEVER:
        return TransportError(f"{reason}; {_NEVER[error.code()]}")
    return Unavailable(reason)


_NEVER: dict[int, str] = {
    KafkaError.MSG_SIZE_TOO_LARGE: "send smaller messages, or raise message.max.bytes here and on the topic",
    KafkaError.INVALID_MSG_SIZE: "send smaller messages, or raise message.max.bytes here and on the topic",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "let this user write to the topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "let this user use the cluster",
    KafkaError.TOPIC_EXCEPTION: "the topic's name is not one",
    KafkaError.INVALID_RECORD: "the topic's settings refuse this record; a compacted topic needs keys",
}
