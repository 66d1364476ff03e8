from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.services.daemon import Unavailable, Uncontrollable
from tests.services.postgres import PostgresCluster, binaries
from tests.services.script import script


def test_the_newest_server_is_taken(tmp_path: Path) -> None:
    for version in ("9", "15", "17"):
        (tmp_path / version).mkdir()
        script(tmp_path / version / "bin", "initdb", "exit 0")
    assert binaries({"PATH": ""}, tmp_path) == tmp_path / "17" / "bin"


def test_the_path_wins_over_what_debian_installed(tmp_path: Path) -> None:
    script(tmp_path / "bin", "initdb", "exit 0")
    assert binaries({"PATH": f"{tmp_path}/bin"}) == (tmp_path / "bin").resolve()


def test_a_missing_server_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="make services"):
        binaries({"PATH": ""}, tmp_path)


def test_a_named_server_is_used_and_left_alone() -> None:
    cluster = PostgresCluster(environ={"DATABASE_URL": "postgresql://u:secret@db.example/x"})
    assert cluster.kind == "external"
    assert "secret" not in repr(cluster)
    with pytest.raises(Uncontrollable):
        cluster.kill()


def test_it_answers(postgres: PostgresCluster) -> None:
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_it_is_durable_and_speaks_utf8(postgres: PostgresCluster) -> None:
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)


def test_databases_are_apart(postgres: PostgresCluster) -> None:
    one, other = postgres.create_database(), postgres.create_database()
    with psycopg.connect(one) as connection:
        connection.execute("CREATE TABLE here (id int)")
    with psycopg.connect(other) as connection:
        assert connection.execute("SELECT to_regclass('here')").fetchone() == (None,)


def test_a_kill_keeps_what_was_committed(own_postgres: Callable[..., PostgresCluster]) -> None:
    cluster = own_postgres({"max_connections": "20"})
    with psycopg.connect(cluster.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    cluster.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(cluster.url)
    cluster.start()
    cluster.restart()
    with psycopg.connect(cluster.url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
        assert connection.execute("SHOW max_connections").fetchone() == ("20",)
