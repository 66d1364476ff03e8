"""The book of commands, in both stores."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.core.command_status import Status, history_of
from headgate.store import open_store
from headgate.store.base import Connection, Store
from headgate.store.commands import CommandQuery, CommandRow, Step
from tests.services.postgres import PostgresCluster

SCOPE = "/commands"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        store = open_store(f"sqlite:///{tmp_path}/store.db")
    else:
        cluster: PostgresCluster = request.getfixturevalue("postgres")
        store = open_store(cluster.create_database())
    store.prepare([])
    yield store
    store.close()


@pytest.fixture
def book(store: Store) -> Iterator[Connection]:
    session = store.connect()
    yield session
    session.close()


def command(request_id: str, **more: object) -> CommandRow:
    row = CommandRow(request_id, SCOPE, "d1", "reboot", "mqtt", Status.ACCEPTED, 100.0, 100.0, due=100.0, body=b"{}")
    return replace(row, **more)  # type: ignore[arg-type]


def found(book: Connection, request_id: str) -> CommandRow:
    [row] = book.find_commands(SCOPE, [request_id])
    return row


def words(row: CommandRow) -> list[str]:
    return [transition.status for transition in history_of(row.history)]


def test_a_command_comes_out_as_it_went_in(book: Connection) -> None:
    row = command(
        "a",
        priority=5,
        published=101.5,
        expires=200.25,
        publish_by=130.0,
        taken=True,
        key="k",
        fingerprint="f",
        body=b"\0{}",
        history='{"status":"accepted","at":100.0}\n',
    )
    assert book.accept_commands([row]) == [None]
    book.commit()
    assert replace(found(book, "a"), number=0) == row
    assert book.find_commands("/others", ["a"]) == []
    assert book.find_commands(SCOPE, []) == []


def test_the_first_under_a_key_or_an_id_is_kept(book: Connection) -> None:
    first, same_key, same_id, other = (
        command("a", key="k"),
        command("b", key="k"),
        command("a", key="l"),
        command("c", key=None),
    )
    told = book.accept_commands([first, same_key, same_id, other])
    assert [row and row.request_id for row in told] == [None, "a", "a", None]
    book.commit()
    told = book.accept_commands([command("d", key="k"), command("c")])
    assert [row and row.request_id for row in told] == ["a", "c"]
    assert book.accept_commands([command("e", key="k", scope="/others"), command("a", scope="/others")]) == [None, None]


def test_of_many_at_once_one_is_first(store: Store) -> None:
    def accept(number: int) -> str:
        session = store.connect()
        [told] = session.accept_commands([command(str(number), key="k")])
        session.commit()
        session.close()
        return str(number) if told is None else told.request_id

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(accept, range(40)))) == 1


def test_states_come_in_any_order_and_more_than_once(book: Connection) -> None:
    facts = {"device_id": "d9", "command_type": "reboot", "protocol": "coap"}
    steps = [
        Step("a", Status.ACKNOWLEDGED, 103.0, "done", device_id="d9"),
        Step("a", Status.PUBLISHED, 101.0, accepted=100.0, expires=900.0, priority=3, **facts),  # type: ignore[arg-type]
        Step("a", Status.DELIVERED, 102.0),
    ]
    for _ in range(2):
        book.advance_commands(SCOPE, steps)
        book.commit()
    row = found(book, "a")
    assert (row.status, row.published, row.accepted, row.expires) == (Status.ACKNOWLEDGED, 101.0, 100.0, 900.0)
    assert (row.device_id, row.command_type, row.protocol, row.priority) == ("d9", "reboot", "coap", 3)
    assert words(row) == ["published", "delivered", "acknowledged"]
    assert history_of(row.history)[-1].detail == "done"
    book.advance_commands(SCOPE, [Step("a", Status.FAILED, 104.0)])
    assert found(book, "a").status is Status.ACKNOWLEDGED  # it is settled; the history has the rest
    assert words(found(book, "a"))[-1] == "failed"


def test_a_detail_that_is_a_word_of_ours_hides_nothing(book: Connection) -> None:
    book.accept_commands([command("a", publish_by=100.0)])
    book.expire_commands(SCOPE, 100.0)
    book.revive_command(command("a", publish_by=200.0))
    book.advance_commands(
        SCOPE,
        [
            Step("a", Status.PUBLISHED, 101.0),
            Step("a", Status.DELIVERED, 102.0, "failed"),
            Step("a", Status.FAILED, 103.0, "50 % of it\\"),
            Step("a", Status.FAILED, 103.0, "50 % of it\\"),
        ],
    )
    assert found(book, "a").status is Status.FAILED
    assert words(found(book, "a")) == ["failed", "published", "delivered", "failed"]


def test_what_was_accepted_with_a_key_keeps_its_time(book: Connection) -> None:
    book.accept_commands([command("a", fingerprint="f"), command("b")])
    book.advance_commands(SCOPE, [Step(name, Status.PUBLISHED, 101.0, accepted=5.0) for name in "ab"])
    assert (found(book, "a").accepted, found(book, "b").accepted) == (100.0, 5.0)


def test_a_history_has_an_end(book: Connection) -> None:
    for number in range(100):
        book.advance_commands(
            SCOPE, [Step("a", Status.PUBLISHED, 1.0, "x" * 500), Step("a", Status(2 + number % 6), 2.0)]
        )
    assert len(found(book, "a").history) < 10_000


def test_what_is_due_comes_by_priority_time_and_order(book: Connection) -> None:
    book.accept_commands(
        [
            command("late", due=300.0),
            command("b", due=99.0),
            command("a", due=99.0),
            command("first", due=100.0, priority=9),
            command("done", status=Status.PUBLISHED),
            command("not ours", scope="/others"),
        ]
    )
    book.commit()
    assert [row.request_id for row in book.due_commands(SCOPE, 100.0, 10)] == ["first", "b", "a"]
    assert [row.request_id for row in book.due_commands(SCOPE, 100.0, 2)] == ["first", "b"]
    assert book.next_due(SCOPE) == 99.0
    assert book.next_due("/nobody") is None
    assert book.due_commands(SCOPE, 100.0, 1)[0].body == b"{}"


def test_who_takes_a_command_keeps_it_from_being_cancelled(book: Connection) -> None:
    book.accept_commands([command("a"), command("b"), command("c")])
    cancelled = book.cancel_command(SCOPE, "a", 105.0)
    assert cancelled is not None
    assert (cancelled.status, cancelled.updated, cancelled.body) == (Status.CANCELLED, 105.0, None)
    assert book.take_commands(SCOPE, ["a", "b", "nobody"]) == ["b"]
    kept = book.cancel_command(SCOPE, "b", 105.0)
    assert kept is not None
    assert kept.status is Status.ACCEPTED
    assert book.cancel_command(SCOPE, "nobody", 105.0) is None
    assert book.cancel_command("/others", "c", 105.0) is None
    assert [row.request_id for row in book.due_commands(SCOPE, 100.0, 10)] == ["b", "c"]


def test_time_ends_what_is_not_settled(book: Connection) -> None:
    book.accept_commands(
        [
            command("unpublished", publish_by=150.0),
            command("waits", due=900.0, publish_by=150.0),
            command("over", expires=150.0, due=900.0),
            command("published", expires=150.0, status=Status.PUBLISHED),
            command("being sent", expires=150.0, taken=True),
            command("sent long ago", expires=139.0, taken=True),
            command("given up", expires=150.0, status=Status.GIVEN_UP),
            command("answered", expires=150.0, status=Status.ACKNOWLEDGED),
            command("fresh", expires=250.0, status=Status.DELIVERED),
        ]
    )
    assert sorted(book.expire_commands(SCOPE, 200.0)) == [
        ("over", Status.EXPIRED),
        ("published", Status.EXPIRED),
        ("sent long ago", Status.EXPIRED),
        ("unpublished", Status.GIVEN_UP),
    ]
    assert book.expire_commands(SCOPE, 200.0) == []
    states = {row.request_id: row.status for row in book.list_commands(CommandQuery(SCOPE))}
    assert (states["being sent"], states["given up"]) == (Status.ACCEPTED, Status.GIVEN_UP)
    assert [
        "being sent" in {row.request_id for row in book.due_commands(SCOPE, now, 10)} for now in (149.0, 151.0)
    ] == [True, False]
    assert states["over"] is states["published"] is Status.EXPIRED
    assert states["unpublished"] is Status.GIVEN_UP
    assert (states["waits"], states["answered"], states["fresh"]) == (0, Status.ACKNOWLEDGED, Status.DELIVERED)
    book.advance_commands(SCOPE, [Step("published", Status.ACKNOWLEDGED, 201.0)])
    assert found(book, "published").status is Status.ACKNOWLEDGED


def test_what_was_given_up_may_be_tried_again_once_or_turn_up(book: Connection) -> None:
    book.accept_commands([command("a", publish_by=150.0), command("b", publish_by=150.0)])
    book.expire_commands(SCOPE, 200.0)
    again = command("a", due=210.0, publish_by=230.0, body=b"again")
    assert [book.revive_command(again), book.revive_command(again)] == [True, False]
    [due] = book.due_commands(SCOPE, 210.0, 10)
    assert (due.request_id, due.body, due.taken) == ("a", b"again", True)
    book.advance_commands(SCOPE, [Step("b", Status.PUBLISHED, 190.0)])
    assert found(book, "b").status is Status.PUBLISHED


def test_pages_of_a_list_hold_each_command_once(book: Connection) -> None:
    book.accept_commands(
        [command(f"{at}", device_id=f"d{at % 2}", accepted=100.0 + at, status=Status(2 + at % 2)) for at in range(10)]
    )
    pages, before = [], None
    while page := book.list_commands(CommandQuery(SCOPE, most=3, before=before)):
        pages += [row.request_id for row in page]
        before = page[-1].number
    assert pages == [str(at) for at in reversed(range(10))]

    def ids(query: CommandQuery) -> list[str]:
        return [row.request_id for row in book.list_commands(query)]

    assert ids(CommandQuery(SCOPE, device_id="d1", since=103.0, until=107.0)) == ["5", "3"]
    assert ids(CommandQuery(SCOPE, statuses=(Status.PUBLISHED,), most=2)) == ["8", "6"]
    assert ids(CommandQuery(SCOPE, command_type="x")) == []


def test_old_commands_are_forgotten_unless_they_wait(book: Connection) -> None:
    book.accept_commands(
        [
            command("old", accepted=1.0, updated=1.0, due=1.0, status=Status.PUBLISHED),
            command("older", accepted=0.5, updated=1.0, due=None, status=Status.ACKNOWLEDGED),
            command("answered late", accepted=1.0, updated=60.0, due=1.0, status=Status.ACKNOWLEDGED),
            command("was for later", accepted=1.0, updated=1.0, due=60.0, status=Status.PUBLISHED),
            command("waits", accepted=1.0, due=1e9),
            command("fresh", accepted=99.0, status=Status.PUBLISHED),
        ]
    )
    assert [book.forget_commands(SCOPE, 50.0, 1), book.forget_commands(SCOPE, 50.0, 9)] == [1, 1]
    assert {row.request_id for row in book.list_commands(CommandQuery(SCOPE))} == {
        "waits",
        "fresh",
        "answered late",
        "was for later",
    }


def test_what_is_not_committed_is_undone(store: Store, book: Connection) -> None:
    book.accept_commands([command("a")])
    book.rollback()
    book.advance_commands(SCOPE, [Step("b", Status.PUBLISHED, 1.0)])
    book.close()
    other = store.connect()
    assert other.find_commands(SCOPE, ["a", "b"]) == []
    other.close()
