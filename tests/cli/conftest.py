"""A gate that the commands of all tests talk to."""

from collections.abc import Iterator

import pytest

from tests.gates.process import GateProcess, gate_process

CONFIG = "streams: {notes: {codec: json}, lines: {codec: text}, jobs: {delivery: queue}, tiny: {retain: {messages: 2}}}"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with gate_process(CONFIG, tmp_path_factory.mktemp("gate")) as started:
        yield started
