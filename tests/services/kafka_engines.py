"""The ways of having a Kafka: somebody's, an installed one, Docker's, Maven's, librdkafka's mock."""

import base64
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from confluent_kafka import Producer

from tests.services import kafka_jars
from tests.services.daemon import Daemon, ServiceError, Unavailable, Uncontrollable, Watchdog, free_port

IMAGE = f"apache/kafka:{kafka_jars.KAFKA}"
HEAP = "-Xms256m -Xmx384m"
# Measured on two cores: starts in half the time of Java's defaults, and takes less CPU for the same flood.
QUICK = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"


class Engine(Protocol):
    """What keeps a broker alive. `start` after `stop` brings back its ports and data; `close` ends both."""

    bootstrap: str

    def start(self) -> None: ...
    def stop(self, *, hard: bool = False) -> None: ...
    def signal(self, number: signal.Signals) -> None: ...
    def close(self) -> None: ...


def single_node(client: int, controller: int) -> dict[str, str]:
    """The properties of a broker that is its own controller and needs nobody."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "num.partitions": "3",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A broker that was killed is let in again when its old session is over: 9 s later, by default.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }


def cluster_id() -> str:
    """A uuid as Kafka writes it. A leading hyphen would be read as an option."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return text if text[0] != "-" else "A" + text[1:]


class Local:
    """A broker process of ours, with a data folder of its own."""

    def __init__(
        self,
        *,
        format_with: Sequence[str],
        run_with: Sequence[str],
        settings: Mapping[str, str],
        environ: Mapping[str, str],
    ) -> None:
        client, controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{client}"
        self.folder = Path(tempfile.mkdtemp(prefix="headgate-kafka-"))
        self._properties = self.folder / "server.properties"
        self._format_with = list(format_with)
        for_scripts = {"KAFKA_HEAP_OPTS": HEAP, "KAFKA_JVM_PERFORMANCE_OPTS": QUICK}
        self._environ = {**environ, **for_scripts, "LOG_DIR": str(self.folder / "logs")}
        data = {"log.dirs": str(self.folder / "data")}
        self._write(single_node(client, controller) | data | dict(settings))
        self.daemon = Daemon([*run_with, str(self._properties)], folder=self.folder, env=self._environ)

    def start(self) -> None:
        if not (self.folder / "data").exists():
            self._format()
        self.daemon.start()

    def stop(self, *, hard: bool = False) -> None:
        if hard:
            self.daemon.kill()
        else:
            self.daemon.stop()

    def signal(self, number: signal.Signals) -> None:
        self.daemon.signal(number)

    def close(self) -> None:
        self.daemon.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, properties: Mapping[str, str]) -> None:
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))

    def _format(self) -> None:
        options = ["format", "-t", cluster_id(), "-c", str(self._properties), "--ignore-formatted"]
        done = subprocess.run(
            [*self._format_with, *options], env=self._environ, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ServiceError(f"Kafka could not format its folder:\n{done.stdout}{done.stderr}")


def maven(environ: Mapping[str, str], settings: Mapping[str, str]) -> Local:
    """Apache Kafka from Maven's artifacts, run by the Java that is here."""
    java = kafka_jars.java(environ)
    command = [java, "-cp", f"{kafka_jars.jars(environ)}/*"]
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return Local(
        format_with=[*command, "kafka.tools.StorageTool"],
        run_with=[java, *HEAP.split(), *QUICK.split(), quiet, *command[1:], "kafka.Kafka"],
        settings=settings,
        environ=environ,
    )


def kafka_home(environ: Mapping[str, str], settings: Mapping[str, str]) -> Local:
    """An installed Kafka: KAFKA_HOME, or the one whose kafka-server-start.sh is on the path."""
    home = _home(environ)
    storage, server = home / "bin" / "kafka-storage.sh", home / "bin" / "kafka-server-start.sh"
    if not (storage.exists() and server.exists()):
        raise Unavailable(f"{home} has no bin/kafka-storage.sh and bin/kafka-server-start.sh")
    kafka_jars.java(environ)
    return Local(format_with=[str(storage)], run_with=[str(server)], settings=settings, environ=environ)


def _home(environ: Mapping[str, str]) -> Path:
    if named := environ.get("KAFKA_HOME"):
        return Path(named)
    script = shutil.which("kafka-server-start.sh", path=environ.get("PATH", ""))
    if script is None:
        raise Unavailable("KAFKA_HOME is not set and kafka-server-start.sh is not on the path")
    return Path(script).resolve().parent.parent


class Docker:
    """Apache Kafka's own image."""

    def __init__(self, docker: str, settings: Mapping[str, str]) -> None:
        client, controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{client}"
        self.name = f"headgate-kafka-{os.getpid()}-{client}"
        self._docker = docker
        self._watchdog: Watchdog | None = None
        inside = {"listeners": f"PLAINTEXT://0.0.0.0:{client},CONTROLLER://127.0.0.1:{controller}"}
        properties = single_node(client, controller) | inside | dict(settings)
        self._options = ["--publish", f"127.0.0.1:{client}:{client}"]
        for name, value in properties.items():
            self._options += ["--env", f"KAFKA_{name.upper().replace('.', '_')}={value}"]

    def start(self) -> None:
        if self._watchdog:
            self._do("start", self.name)
        else:
            self._watchdog = Watchdog('"$1" rm --force --volumes "$2"', self._docker, self.name)
            self._do("run", "--detach", "--name", self.name, *self._options, IMAGE)

    def stop(self, *, hard: bool = False) -> None:
        self._do("kill" if hard else "stop", self.name)

    def signal(self, number: signal.Signals) -> None:
        self._do({signal.SIGSTOP: "pause", signal.SIGCONT: "unpause"}[number], self.name)

    def close(self) -> None:
        if self._watchdog:
            self._watchdog.dismiss()
            self._watchdog = None
            self._do("rm", "--force", "--volumes", self.name)

    def _do(self, *arguments: str) -> None:
        done = subprocess.run([self._docker, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServiceError(f"docker {arguments[0]}: {done.stderr.strip()}")


def docker(environ: Mapping[str, str], settings: Mapping[str, str]) -> Docker:
    """A broker in a container, where a Docker daemon answers and has the image or can get it."""
    client = shutil.which("docker", path=environ.get("PATH", ""))
    if client is None or not _works(client, "info"):
        raise Unavailable("Docker is not running")
    if not _works(client, "image", "inspect", IMAGE) and not _works(client, "pull", IMAGE):
        raise Unavailable(f"Docker cannot get the image {IMAGE}")
    return Docker(client, settings)


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Foreign:
    """A broker that somebody else runs: we use it and leave it alone."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def start(self) -> None:
        """It runs already, or `KafkaBroker.start` says that it does not answer."""

    def stop(self, *, hard: bool = False) -> None:
        raise Uncontrollable("the broker of KAFKA_BOOTSTRAP_SERVERS is not ours to stop")

    def signal(self, number: signal.Signals) -> None:
        raise Uncontrollable("the broker of KAFKA_BOOTSTRAP_SERVERS is not ours to pause")

    def close(self) -> None:
        """Nothing of ours is left there but topics."""


def external(environ: Mapping[str, str], settings: Mapping[str, str]) -> Foreign:
    """The broker that KAFKA_BOOTSTRAP_SERVERS names."""
    if not (bootstrap := environ.get("KAFKA_BOOTSTRAP_SERVERS")):
        raise Unavailable("KAFKA_BOOTSTRAP_SERVERS is not set")
    return Foreign(bootstrap)


class Mock:
    """librdkafka's mock cluster, inside one of its own clients: what it says about Kafka proves nothing."""

    limits = "no topic settings, 4 partitions for every topic, no restart, no pause, nothing on disk"

    def __init__(self) -> None:
        self._client: Producer | None = None
        self.bootstrap = ""

    def start(self) -> None:
        if self._client is None:
            self._client = Producer({"test.mock.num.brokers": 1, "log_level": 0})
            brokers = self._client.list_topics(timeout=10).brokers.values()
            self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def stop(self, *, hard: bool = False) -> None:
        raise Uncontrollable("librdkafka's mock cannot be stopped and started")

    def signal(self, number: signal.Signals) -> None:
        raise Uncontrollable("librdkafka's mock cannot be paused")

    def close(self) -> None:
        self._client = None
