"""What every test may ask for: the event loop, and real services that start when the first test asks."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TypeVar

import pytest

from tests.services.daemon import Unavailable
from tests.services.kafka import KafkaBroker
from tests.services.kafka_engines import Mock
from tests.services.postgres import PostgresCluster

Service = TypeVar("Service", KafkaBroker, PostgresCluster)

_SERVICES = pytest.StashKey[list[str]]()
_MARKS = {"kafka": "kafka", "own_kafka": "kafka", "postgres": "postgres", "own_postgres": "postgres"}


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SERVICES] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for a service is marked with its name, so that `-m "not kafka"` means it."""
    for item in items:
        for name in getattr(item, "fixturenames", ()):
            if name in _MARKS:
                item.add_marker(_MARKS[name])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what the tests ran against, and loudly if it was no Kafka."""
    if told := config.stash[_SERVICES]:
        terminalreporter.section("services")
        for line in told:
            terminalreporter.line(line, red="MOCK" in line, bold="MOCK" in line)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[KafkaBroker]:
    """The broker all tests share: take topics of your own from `create_topic()`, and do not stop it."""
    with KafkaBroker() as broker:
        told = pytestconfig.stash[_SERVICES]
        told.append(f"kafka: {broker.describe()}")
        if not broker.real:
            told.append(f"NO TEST RAN AGAINST A REAL KAFKA. The MOCK has {Mock.limits}.")
            told.append("`make services` gets a real one; CI takes no MOCK.")
        yield broker


@pytest.fixture
def own_kafka() -> Iterator[Callable[..., KafkaBroker]]:
    """`own_kafka({"message.max.bytes": "2000"})` starts a broker of the test's own, to kill or pause."""
    with ExitStack() as started:

        def start(settings: Mapping[str, str] | None = None) -> KafkaBroker:
            return started.enter_context(_or_skip(lambda: KafkaBroker(settings, controllable=True)))

        yield start


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[PostgresCluster]:
    """The cluster all tests share: take databases from `create_database()`, and do not stop it."""
    with _or_skip(PostgresCluster) as cluster:
        pytestconfig.stash[_SERVICES].append(f"postgres: {cluster.describe()}")
        yield cluster


@pytest.fixture
def own_postgres() -> Iterator[Callable[..., PostgresCluster]]:
    """`own_postgres({"max_connections": "5"})` starts a cluster of the test's own, to kill."""
    with ExitStack() as started:

        def start(settings: Mapping[str, str] | None = None) -> PostgresCluster:
            return started.enter_context(_or_skip(lambda: PostgresCluster(settings, controllable=True)))

        yield start


def _or_skip(make: Callable[[], Service]) -> Service:
    """In CI, a service that cannot be had is an error; elsewhere its tests are skipped, with the reason."""
    try:
        return make()
    except Unavailable as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))
