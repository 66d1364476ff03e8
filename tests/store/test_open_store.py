"""Stores by their URL."""

import builtins
from typing import Any

import pytest

from headgate.errors import HeadgateError
from headgate.store import open_store


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///plant.db", "<SQLiteStore plant.db>"),
        ("sqlite:////var/lib/a%20b.db", "<SQLiteStore /var/lib/a b.db>"),
        ("sqlite://", "<SQLiteStore :memory:>"),
        ("postgresql://u:p@h/d", "<PostgreSQLStore h:5432>"),
        ("postgres://u:p@h:7/d", "<PostgreSQLStore h:7>"),
        ("postgresql+psycopg://u:p@a,b/d", "<PostgreSQLStore a,b:5432>"),
        ("postgresql:///d?host=/run/x", "<PostgreSQLStore /run/x:5432>"),
    ],
)
def test_a_url_names_a_store(url: str, shown: str) -> None:
    assert repr(open_store(url)) == shown


@pytest.mark.parametrize("url", ["mysql://h/d", "plant.db", "sqlite://plant.db", "sqlite:///a.db?mode=ro"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(HeadgateError, match=r"sqlite|SQLite"):
        open_store(url)


def test_without_the_client_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "headgate.store.postgresql":
            raise ModuleNotFoundError("no psycopg", name="psycopg")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(HeadgateError, match=r"headgate\[postgres\]"):
        open_store("postgresql://h/d")
