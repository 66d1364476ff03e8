from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from tests.services.daemon import ServiceError, Unavailable
from tests.services.kafka import WAYS, KafkaBroker, Way, find
from tests.services.kafka_engines import Engine, Foreign, Mock
from tests.services.script import script


def produce(broker: KafkaBroker, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def consume(broker: KafkaBroker, topic: str, count: int) -> list[bytes]:
    settings = {"bootstrap.servers": broker.bootstrap, "group.id": topic, "auto.offset.reset": "earliest"}
    consumer = Consumer(settings | {"log_level": 0})
    try:
        consumer.subscribe([topic])
        return [message.value() or b"" for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


# Which one


def open_way(environ: Mapping[str, str], settings: Mapping[str, str]) -> Engine:
    return Foreign("127.0.0.1:1")


def closed_way(environ: Mapping[str, str], settings: Mapping[str, str]) -> Engine:
    raise Unavailable("not here")


def test_the_order_is_the_documented_one() -> None:
    assert list(WAYS) == ["external", "kafka_home", "docker", "maven"]


@pytest.mark.parametrize("kind", WAYS)
def test_the_first_open_way_is_taken(kind: str) -> None:
    ways: dict[str, Way] = dict.fromkeys(WAYS, closed_way)
    for later in list(WAYS)[list(WAYS).index(kind) :]:
        ways[later] = open_way
    assert find({}, {}, ways=ways)[0] == kind


def test_the_mock_comes_last() -> None:
    kind, engine = find({}, {}, ways=dict.fromkeys(WAYS, closed_way))
    assert kind == "mock"
    assert isinstance(engine, Mock)


def test_ci_takes_no_mock_and_says_why() -> None:
    with pytest.raises(Unavailable, match=r"make services(.|\n)*maven: not here"):
        find({"CI": "true"}, {}, ways=dict.fromkeys(WAYS, closed_way))


def test_a_broker_to_kill_is_neither_external_nor_a_mock() -> None:
    ways: dict[str, Way] = {"external": open_way, "maven": closed_way}
    with pytest.raises(Unavailable, match="cannot be stopped"):
        find({}, {}, controllable=True, ways=ways)


def test_a_named_broker_wins_over_everything() -> None:
    environ = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "KAFKA_HOME": "/somewhere"}
    kind, engine = find(environ, {})
    assert (kind, engine.bootstrap) == ("external", "127.0.0.1:1")


def test_a_named_broker_that_is_not_there_is_an_error() -> None:
    broker = KafkaBroker(environ={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    with pytest.raises(ServiceError, match="does not answer"):
        broker.start(within=0.1)


def test_an_empty_machine_has_the_mock(tmp_path: Path) -> None:
    with KafkaBroker(environ={"PATH": str(tmp_path), "HOME": str(tmp_path)}) as broker:
        assert broker.kind == "mock"
        topic = broker.create_topic()
        produce(broker, topic, b"one")
        assert consume(broker, topic, 1) == [b"one"]


def test_a_server_that_ends_shows_its_last_words(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script(home / "bin", "java", """echo 'openjdk version "21"' >&2""")
    script(home / "bin", "kafka-storage.sh", "exit 0")
    script(home / "bin", "kafka-server-start.sh", "echo the disk is made of cheese")
    environ = {"KAFKA_HOME": str(home), "JAVA_HOME": str(home), "PATH": "/bin:/usr/bin"}
    with pytest.raises(ServiceError, match="the disk is made of cheese"):
        KafkaBroker(environ=environ).__enter__()


# What it does


def test_a_message_comes_back(kafka: KafkaBroker) -> None:
    topic = kafka.create_topic(partitions=1)
    produce(kafka, topic, b"one", b"two")
    assert sorted(consume(kafka, topic, 2)) == [b"one", b"two"]  # the mock has several partitions


def test_a_topic_is_made_as_asked(kafka: KafkaBroker) -> None:
    if not kafka.real:
        pytest.skip("the mock makes every topic alike")
    topic = kafka.create_topic(partitions=5, config={"max.message.bytes": "1000"})
    client = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    assert len(client.list_topics(topic, timeout=10).topics[topic].partitions) == 5
    problems: list[KafkaError | None] = []
    client.produce(topic, b"x" * 2000, on_delivery=lambda problem, _: problems.append(problem))
    assert client.flush(20) == 0
    assert [problem.name() for problem in problems if problem is not None] == ["MSG_SIZE_TOO_LARGE"]


def test_a_kill_and_a_restart_keep_the_messages(own_kafka: Callable[..., KafkaBroker]) -> None:
    broker = own_kafka()
    before = broker.bootstrap
    topic = broker.create_topic()
    produce(broker, topic, b"one")
    broker.kill()
    with pytest.raises(KafkaException):
        list_topics(broker)
    broker.start()
    produce(broker, topic, b"two")
    broker.restart()
    assert broker.bootstrap == before
    assert consume(broker, topic, 2) == [b"one", b"two"]


def test_a_paused_broker_holds_its_tongue_and_goes_on(own_kafka: Callable[..., KafkaBroker]) -> None:
    broker = own_kafka({"num.partitions": "2"})
    broker.pause()
    with pytest.raises(KafkaException):
        list_topics(broker)
    broker.resume()
    assert list_topics(broker, timeout=20)


def list_topics(broker: KafkaBroker, timeout: float = 1) -> object:
    return AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0}).list_topics(timeout=timeout)
