"""The Kafka that tests run against: the best that is to be had here, and which one that is."""

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Self

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.services import kafka_engines, kafka_jars
from tests.services.daemon import ServiceError, Unavailable, wait_until
from tests.services.kafka_engines import Engine, Local, Mock

Way = Callable[[Mapping[str, str], Mapping[str, str]], Engine]

# Best first: what somebody asked for by name, then what is installed, then what can be fetched.
WAYS: dict[str, Way] = {
    "external": kafka_engines.external,
    "kafka_home": kafka_engines.kafka_home,
    "docker": kafka_engines.docker,
    "maven": kafka_engines.maven,
}
_CLIENT = {"log_level": 0, "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200}


def find(
    environ: Mapping[str, str],
    settings: Mapping[str, str],
    *,
    controllable: bool = False,
    ways: Mapping[str, Way] = WAYS,
) -> tuple[str, Engine]:
    """The first way that is open, by name. The mock comes last, and never in CI."""
    reasons = []
    for kind, way in ways.items():
        if controllable and kind == "external":
            reasons.append("external: it cannot be stopped, and this needs a broker that can")
            continue
        try:
            return kind, way(environ, settings)
        except Unavailable as reason:
            reasons.append(f"{kind}: {reason}")
    if environ.get("CI") or controllable:
        raise Unavailable("no real Kafka (`make services` gets one):\n  " + "\n  ".join(reasons))
    return "mock", Mock()


class KafkaBroker:
    """One Kafka broker on loopback. `start` after `stop` or `kill` has the same ports and data."""

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        controllable: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self.kind, self._engine = find(environ, settings or {}, controllable=controllable)
        self.started_in: float | None = None

    def __repr__(self) -> str:
        return f"<KafkaBroker {self.kind} at {self.bootstrap or '(not started)'}>"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def bootstrap(self) -> str:
        """What `bootstrap.servers` wants."""
        return self._engine.bootstrap

    @property
    def real(self) -> bool:
        return self.kind != "mock"

    @property
    def pid(self) -> int:
        """Of the broker's own process, where it is one of ours."""
        if not isinstance(self._engine, Local):
            raise ServiceError(f"{self!r} is no process of ours")
        return self._engine.daemon.pid

    def start(self, *, within: float = 90) -> Self:
        """Start, or start again; returns when a client can list the topics."""
        began = time.monotonic()
        self._engine.start()
        self._await_answer(within)
        self.started_in = time.monotonic() - began
        print(f"kafka: {self.describe()}", file=sys.stderr)
        return self

    def stop(self) -> None:
        """Shut down in order; the data stays."""
        self._engine.stop()

    def kill(self) -> None:
        """SIGKILL; the data stays as it was at that moment."""
        self._engine.stop(hard=True)

    def restart(self) -> Self:
        """Stop, unless it is down already, and start on the same ports and data."""
        self._engine.stop()
        return self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        self._engine.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._engine.signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop at once and remove the data."""
        self._engine.close()

    def describe(self) -> str:
        took = "" if self.started_in is None else f", answering after {self.started_in:.1f} s"
        return f"{_TOLD[self.kind]} at {self.bootstrap}{took}"

    def create_topic(
        self, name: str | None = None, *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> str:
        """Make a topic and return its name, once every partition has a leader."""
        name = name or f"test-{uuid.uuid4().hex[:12]}"
        if self.real:
            self._create(NewTopic(name, partitions, 1, config=dict(config or {})))
        client = Producer({"bootstrap.servers": self.bootstrap, **_CLIENT})
        if not wait_until(lambda: _has_leaders(client, name, partitions), within=30):
            raise ServiceError(f"topic {name} got no leader for all of its {partitions} partitions")
        return name

    def _create(self, topic: NewTopic) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **_CLIENT})
        for done in admin.create_topics([topic]).values():
            done.result(timeout=30)

    def _await_answer(self, within: float) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **_CLIENT})
        if not wait_until(lambda: self._answers(admin), within=within):
            raise ServiceError(f"{self!r} does not answer\n{self._last_words()}")

    def _answers(self, admin: Any) -> bool:
        if isinstance(self._engine, Local) and not self._engine.daemon.alive:
            raise ServiceError(f"{self!r} ended while it started\n{self._last_words()}")
        try:
            return bool(admin.list_topics(timeout=0.5).brokers)
        except KafkaException:
            return False

    def _last_words(self) -> str:
        return self._engine.daemon.tail() if isinstance(self._engine, Local) else ""


_TOLD = {
    "external": "the broker of KAFKA_BOOTSTRAP_SERVERS",
    "kafka_home": "the installed Kafka (KAFKA_HOME)",
    "docker": f"{kafka_engines.IMAGE} in Docker",
    "maven": f"Apache Kafka {kafka_jars.KAFKA} from Maven's artifacts",
    "mock": "librdkafka's MOCK cluster",
}


def _has_leaders(client: Any, name: str, partitions: int) -> bool:
    try:
        topic = client.list_topics(name, timeout=1).topics[name]
    except KafkaException:
        return False
    return len(topic.partitions) >= partitions and all(p.leader >= 0 for p in topic.partitions.values())
