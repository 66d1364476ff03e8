"""The log keeps the contract."""

from pathlib import Path

import pytest

from headgate.testing import TransportContract
from headgate.transport.log import LogTransport


class TestContract(TransportContract):
    transport_class = LogTransport

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "log.db"

    def make(self) -> LogTransport:
        return LogTransport(path=self.path)
