"""What PostgreSQL does beside the contract: servers that die, tables made by hand, rules that somebody added."""

from collections.abc import Callable
from contextlib import ExitStack
from urllib.parse import urlsplit

import psycopg
import pytest

from headgate.errors import HeadgateError, SchemaRefusal, Unavailable, Uncertain
from headgate.store.base import Duplicates
from headgate.store.postgresql import PostgreSQLStore
from headgate.store.postgresql.session import PostgreSQLSession
from headgate.testing.store import ENTITIES, EVENT, PLACE, page
from tests.services.postgres import PostgresCluster


@pytest.fixture
def url(postgres: PostgresCluster) -> str:
    return postgres.create_database()


def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements[:-1]:
            connection.execute(statement)
        cursor = connection.execute(statements[-1])
        return cursor.fetchall() if cursor.description else []


def opened(url: str) -> PostgreSQLSession:
    store = PostgreSQLStore(url)
    store.prepare(ENTITIES)
    return store.connect()


@pytest.mark.parametrize("work", ["offer", "insert", "sort", "commit"])
def test_a_server_that_dies_keeps_nothing_of_the_transaction(
    own_postgres: Callable[..., PostgresCluster], work: str
) -> None:
    cluster = own_postgres()
    session = opened(cluster.url)
    assert session.offer(page("P|1|a"))
    session.commit()
    assert session.offer(page("P|2|b"))
    cluster.kill()
    rest = {
        "offer": lambda: session.offer(page("P|3|c")),
        "insert": lambda: session.insert(page("P|3|c")),
        "sort": lambda: session.sort(page("P|3|c"), {}),
    }
    with pytest.raises(Unavailable) as raised:
        rest.get(work, session.commit)()
    assert str(urlsplit(cluster.url).port) in str(raised.value)
    assert str(urlsplit(cluster.url).password) not in str(raised.value)
    session.close()
    with pytest.raises(Unavailable):
        PostgreSQLStore(cluster.url).connect()
    cluster.start()
    again = opened(cluster.url)
    assert again.offer(page("P|2|c"))
    again.commit()
    again.close()
    assert run(cluster.url, "SELECT place, name FROM places ORDER BY 1") == [(1, "a"), (2, "c")]


def test_a_session_that_is_ended_by_others_is_told(url: str) -> None:
    session = opened(url)
    assert session.offer(page("P|1|a"))
    run(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state <> ''"
        " AND datname = current_database()",
    )
    with pytest.raises(Unavailable):
        session.commit()
    session.close()


def test_a_session_that_ended_while_it_idled_kept_nothing_for_certain(url: str) -> None:
    session = opened(url)
    run(url, f"SELECT pg_terminate_backend({session._connection.info.backend_pid})")
    with pytest.raises(Unavailable) as raised:
        session.insert(page("P|1|a"))
    assert not isinstance(raised.value, Uncertain)
    session.close()


def test_a_session_that_ends_when_all_is_sent_may_have_kept_it(url: str) -> None:
    session = opened(url)
    run(
        url,
        "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
        "CREATE TRIGGER leave AFTER INSERT ON places EXECUTE FUNCTION leave()",
    )
    with pytest.raises(Uncertain, match="may be kept"):
        session.insert(page("P|1|a"))
    session.close()


def test_a_session_that_ends_before_its_commit_may_have_kept_it(url: str) -> None:
    session = opened(url)
    assert session.offer(page("P|1|a"))
    run(url, f"SELECT pg_terminate_backend({session._connection.info.backend_pid})")
    with pytest.raises(Uncertain, match="may be kept"):
        session.commit()
    session.close()


def test_too_many_connections_are_told(own_postgres: Callable[..., PostgresCluster]) -> None:
    cluster = own_postgres({"max_connections": "4", "superuser_reserved_connections": "0"})
    store = PostgreSQLStore(cluster.url)
    with ExitStack() as taken:
        for _ in range(4):
            taken.callback(store.connect().close)
        with pytest.raises(Unavailable, match="too many"):
            store.connect()


def test_a_database_that_may_only_be_read_is_told(url: str) -> None:
    opened(url).close()
    run(url, f'ALTER DATABASE "{urlsplit(url).path[1:]}" SET default_transaction_read_only = on')
    store = PostgreSQLStore(url)
    store.prepare(ENTITIES)  # nothing is to be made
    session = store.connect()
    with pytest.raises(Unavailable, match="read-only"):
        session.offer(page("P|1|a"))
    session.close()


def test_a_row_that_another_holds_is_no_reason_to_wait(url: str) -> None:
    first, second = opened(url), opened(url)
    assert first.offer(page("P|1|a"))
    assert second.offer(page("P|5|b"))
    assert not second.offer(page("P|2|b", "P|1|b"))
    second.commit()
    first.rollback()
    first.close()
    second.close()
    assert run(url, "SELECT place FROM places") == [(5,)]


def test_a_transaction_that_failed_is_not_committed_in_silence(url: str) -> None:
    session = opened(url)
    assert session.offer(page("P|1|a"))
    run(url, "ALTER TABLE events RENAME TO gone")
    with pytest.raises(Unavailable, match="events"):
        session.sort(page("E|1|1|"), {})
    with pytest.raises(Unavailable):
        session.commit()
    session.close()


def test_a_trigger_refuses_with_a_code_of_its_own(url: str) -> None:
    session = opened(url)
    run(
        url,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name = 'no' THEN"
        " RAISE EXCEPTION E'nope %\nwhatever', NEW.place USING ERRCODE = 'HG001'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON places FOR EACH ROW EXECUTE FUNCTION no()",
    )
    assert not session.offer(page("P|1|no"))
    assert [fault.message for fault in session.sort(page("P|1|a", "P|2|no"), {}).faults] == ["nope 2"]
    session.close()


def test_what_is_deferred_is_looked_at_row_by_row(url: str) -> None:
    session = opened(url)
    run(url, "ALTER TABLE places ADD CONSTRAINT own UNIQUE (name) DEFERRABLE INITIALLY DEFERRED")
    assert not session.offer(page("P|1|a", "P|2|a"))
    found = page("P|1|a", "P|2|a", "P|3|b")
    assert [fault.message for fault in session.sort(found, {}).faults] == ["Duplicate: name=a exists already"]
    session.rollback()
    assert session.sort(found, {"Place": Duplicates.SKIP}).skipped == (2,)
    session.commit()
    session.close()


def test_a_column_that_may_not_be_null_is_named(url: str) -> None:
    session = opened(url)
    run(url, "ALTER TABLE places ALTER name SET NOT NULL")
    [fault] = session.sort(page("P|1|a", "P|2|"), {}).faults
    assert (fault.line_number, fault.field) == (2, "name")
    session.close()


def test_thousands_of_rows_that_are_refused_do_not_take_minutes(url: str) -> None:
    session = opened(url)
    run(url, "ALTER TABLE places ADD CHECK (name <> 'no')")
    assert len(session.sort(page(*(f"P|{number}|no" for number in range(1, 4001))), {}).faults) == 4000
    session.close()


_EVENTS = "CREATE TABLE events (id bigint {}, source bigint NOT NULL, at bigint NOT NULL, note text {})"


@pytest.mark.parametrize(
    "statements",
    [
        [_EVENTS.format("GENERATED ALWAYS AS IDENTITY PRIMARY KEY", ", UNIQUE (source, at)")],
        [
            _EVENTS.format("PRIMARY KEY", ", UNIQUE (at, source)"),
            "CREATE SEQUENCE own",
            "ALTER TABLE events ALTER id SET DEFAULT nextval('own')",
        ],
        [
            _EVENTS.format("GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", ", own text DEFAULT 'x' NOT NULL"),
            "CREATE UNIQUE INDEX ON events (source, at)",
            "CREATE UNIQUE INDEX ON events (lower(note))",
        ],
    ],
)
def test_a_table_that_somebody_made_in_the_same_shape_is_taken(url: str, statements: list[str]) -> None:
    run(url, *statements)
    store = PostgreSQLStore(url)
    store.prepare([EVENT])
    session = store.connect()
    outcome = session.sort(page("E|1|1|a", "E|1|1|b"), {})
    assert [fault.message for fault in outcome.faults] == ["Duplicate: source=1, at=1 exists already"]
    session.commit()
    assert [(outcome.ids[1],)] == run(url, "SELECT id FROM events")
    session.close()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (_EVENTS.format("PRIMARY KEY", ", UNIQUE (source, at)"), "counted up"),
        (_EVENTS.format("GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", ""), "unique columns"),
        (_EVENTS.format("GENERATED BY DEFAULT AS IDENTITY", ", UNIQUE (source, at)"), "primary key"),
    ],
)
def test_a_table_that_lacks_something_is_refused(url: str, statement: str, reason: str) -> None:
    run(url, statement)
    with pytest.raises(SchemaRefusal, match=reason):
        PostgreSQLStore(url).prepare([EVENT])


def test_who_may_not_make_tables_may_have_had_them_made(url: str) -> None:
    opened(url).close()
    run(
        url,
        "DROP ROLE IF EXISTS headgate_guest",
        "CREATE ROLE headgate_guest LOGIN PASSWORD 'guest'",
        "REVOKE CREATE ON SCHEMA public FROM public",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO headgate_guest",
    )
    parts = urlsplit(url)
    guest = parts._replace(netloc=f"headgate_guest:guest@{parts.hostname}:{parts.port}").geturl()
    session = opened(guest)
    assert session.offer(page("P|1|a"))
    session.close()
    run(url, "DROP OWNED BY headgate_guest", "DROP ROLE headgate_guest")


def test_what_the_url_sets_is_kept(url: str) -> None:
    run(url, "CREATE SCHEMA mine")
    store = PostgreSQLStore(f"{url}?options=-csearch_path%3Dmine&application_name=me")
    store.prepare([PLACE])
    session = store.connect()
    shown = [session._connection.execute(f"SHOW {name}").fetchone()[0] for name in ("TimeZone", "application_name")]
    assert shown == ["UTC", "me"]
    session.close()
    assert run(url, "SELECT to_regclass('mine.places')::text") == [("mine.places",)]


@pytest.mark.parametrize("right", ["SELECT", "INSERT"])
def test_a_table_that_may_not_be_written_is_no_fault_of_its_rows(url: str, right: str) -> None:
    opened(url).close()
    run(
        url,
        "DROP ROLE IF EXISTS headgate_reader",
        "CREATE ROLE headgate_reader LOGIN PASSWORD 'reader'",
        f"GRANT {right} ON ALL TABLES IN SCHEMA public TO headgate_reader",
    )
    parts = urlsplit(url)
    session = opened(parts._replace(netloc=f"headgate_reader:reader@{parts.hostname}:{parts.port}").geturl())
    with pytest.raises(Unavailable, match=r"table"):
        session.offer(page("P|1|a")) if right == "SELECT" else session.sort(page("P|1|a"), {})
    session.close()
    run(url, "DROP OWNED BY headgate_reader", "DROP ROLE headgate_reader")


@pytest.mark.parametrize("place", ["u:secret%zz@h/db", "u:sec@ret@h/db", "u:secret@h:secret/d", "u:sec/ret@h/d"])
def test_no_message_has_a_piece_of_the_password(place: str) -> None:
    with pytest.raises(HeadgateError) as raised:
        PostgreSQLStore(f"postgresql://{place}").connect()
    assert "sec" not in str(raised.value)
    assert "ret" not in str(raised.value)
