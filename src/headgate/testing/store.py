"""The contract of a store as tests: subclass it, say how to make yours, run pytest.

class TestMine(StoreContract):
    @pytest.fixture
    def make(self): ...  # returns a function that makes a store, always of the same empty database
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from headgate.core.cut import Piece
from headgate.core.entity import Entity, Fault, Field, ForeignKey, Kind, Layout, Record, Storage
from headgate.core.page import LineReader, Page, RecordPage
from headgate.errors import SchemaRefusal
from headgate.store.base import Connection, Duplicates, Outcome, Store

Rows = list[tuple[str | None, ...]]
Make = Callable[[], Store]


def _field(name: str, kind: Kind = Kind.INTEGER, *, nullable: bool = False) -> Field:
    return Field(name, kind, name, nullable=nullable)


def _entity(name: str, prefix: str, fields: Sequence[Field], storage: Storage) -> Entity:
    return Entity(name, "root", tuple(fields), (Layout(name, prefix, tuple(fields)),), storage)


PLACE = _entity(
    "Place", "P", [_field("place"), _field("name", Kind.TEXT, nullable=True)], Storage("places", ("place",))
)
THING = _entity(
    "Thing",
    "T",
    [_field("thing"), _field("tag", nullable=True), _field("place", nullable=True), _field("note", Kind.TEXT)],
    Storage("things", ("thing",), unique=("tag",), foreign_keys=(ForeignKey(("place",), "places", ("place",)),)),
)
PART = _entity(
    "Part",
    "A",
    [_field("thing"), _field("number"), _field("note", Kind.TEXT, nullable=True)],
    Storage("parts", ("thing", "number"), foreign_keys=(ForeignKey(("thing",), "things", ("thing",)),)),
)
EVENT = _entity(
    "Event",
    "E",
    [_field("source"), _field("at"), _field("note", Kind.TEXT, nullable=True)],
    Storage("events", ("id",), generated=True, unique=("source", "at")),
)
NODE = _entity(
    "Node",
    "N",
    [_field("node"), _field("above", nullable=True), _field("note", Kind.TEXT, nullable=True)],
    Storage("nodes", ("node",), foreign_keys=(ForeignKey(("above",), "nodes", ("node",)),)),
)
ENTITIES = [PART, EVENT, THING, PLACE, NODE]
READER = LineReader(ENTITIES)


def page(*lines: str) -> Page:
    """A page of lines that the parser has nothing against."""
    found = READER.read(Piece("\n".join(lines).encode(), 1))
    assert not found.faults
    return found


class StoreContract:
    """What every store does."""

    @pytest.fixture
    def make(self) -> Make:
        """A function that makes a store; all of them are of one database, which is empty at first."""
        raise NotImplementedError

    def rows(self, table: str, columns: str, session: Connection) -> Rows:
        """What a table holds, as texts, in the order of its columns."""
        raise NotImplementedError

    def execute(self, session: Connection, statement: str) -> None:
        """Run a statement of somebody else's."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, make: Make) -> Iterator[Store]:
        store = make()
        store.prepare(ENTITIES)
        yield store
        store.close()

    @pytest.fixture
    def session(self, store: Store) -> Iterator[Connection]:
        session = store.connect()
        yield session
        session.close()

    def test_what_is_offered_is_there_after_the_commit(self, store: Store, session: Connection) -> None:
        assert session.offer(page("T|1||5|x\\y", "P|5|Here", "A|1|2|", "A|1|1|a"))
        session.commit()
        with another(store) as other:
            assert self.rows("things", "thing, tag, place, note", other) == [("1", None, "5", "x\\y")]
            assert self.rows("parts", "thing, number, note", other) == [("1", "1", "a"), ("1", "2", None)]

    def test_what_is_not_committed_is_not_there(self, store: Store, session: Connection) -> None:
        assert session.offer(page("P|1|a"))
        session.rollback()
        assert session.offer(page("P|2|b"))
        session.close()
        with another(store) as other:
            assert self.rows("places", "place", other) == []

    def test_one_bad_row_is_a_reason_to_take_none(self, session: Connection) -> None:
        assert session.offer(page("P|1|a"))
        assert not session.offer(page("P|2|b", "P|1|again"))
        assert not session.offer(page("P|3|b", "T|1||99|x"))
        session.commit()
        assert self.rows("places", "place", session) == [("1",)]

    def test_what_is_inserted_is_there_at_once(self, store: Store, session: Connection) -> None:
        assert session.insert(page("T|1||5|x\\y", "P|5|Here"))
        assert not session.is_open
        session.rollback()
        with another(store) as other:
            assert self.rows("things", "thing, note", other) == [("1", "x\\y")]

    def test_of_an_insert_with_one_bad_row_nothing_is_there(self, store: Store, session: Connection) -> None:
        assert session.insert(page("P|1|a"))
        assert not session.insert(page("P|2|b", "P|1|again"))
        assert not session.insert(page("P|3|b", "T|1||99|x"))
        assert not session.is_open
        assert session.insert(page("P|4|c"))
        with another(store) as other:
            assert self.rows("places", "place", other) == [("1",), ("4",)]

    def test_more_than_fits_into_any_buffer_is_inserted(self, session: Connection) -> None:
        names = ["x" * 60_000 for _ in range(300)]
        assert session.insert(page(*(f"P|{number}|{name}" for number, name in enumerate(names))))
        assert self.rows("places", "name", session) == [(name,) for name in names]

    def test_an_attempt_is_undone_apart_from_the_rest(self, session: Connection) -> None:
        assert session.offer(page("P|1|a"))
        with session.attempt() as undo:
            assert session.offer(page("P|2|b"))
            sort(session, page("P|3|c", "P|1|again"), {})
            undo()
            assert session.offer(page("P|2|again"))
            undo()
            assert session.offer(page("P|4|d"))
        session.commit()
        assert self.rows("places", "place", session) == [("1",), ("4",)]
        with session.attempt() as undo:
            assert session.offer(page("P|5|a"))
        assert session.is_open
        session.commit()
        assert self.rows("places", "place", session) == [("1",), ("4",), ("5",)]

    def test_sorting_tells_each_row_that_is_refused(self, session: Connection) -> None:
        assert session.offer(page("P|1|a"))
        found = page("T|1|7|1|ok", "T|1|8|1|again", "T|2|7|1|tag", "T|3||9|nowhere", "T|4|||fine", "A|3|1|", "A|4|1|")
        outcome = sort(session, found, {})
        session.commit()
        assert told(outcome.faults) == [
            (2, "Thing", "thing", "Duplicate: thing=1 exists already"),
            (3, "Thing", "tag", "Duplicate: tag=7 exists already"),
            (4, "Thing", "place", "Foreign key violation: place=9 not found"),
            (6, "Part", "thing", "Foreign key violation: thing=3 not found"),
        ]
        assert (outcome.skipped, outcome.updated) == ((), ())
        assert self.rows("things", "thing, note", session) == [("1", "ok"), ("4", "fine")]
        assert self.rows("parts", "thing, number", session) == [("4", "1")]

    def test_of_composite_keys_all_columns_are_told(self, session: Connection) -> None:
        assert session.offer(page("T|1|||x", "A|1|2|a"))
        [fault] = sort(session, page("A|1|2|b"), {}).faults
        assert (fault.message, fault.field) == ("Duplicate: thing=1, number=2 exists already", None)

    def test_duplicates_are_passed_over(self, session: Connection) -> None:
        assert session.offer(page("T|1|7||first"))
        outcome = sort(session, page("T|1|||x", "T|2|7||x", "T|3|||ok", "T|3|||x"), {"Thing": Duplicates.SKIP})
        session.commit()
        assert (outcome.faults, set(outcome.skipped)) == ((), {1, 2, 4})
        assert self.rows("things", "thing, note", session) == [("1", "first"), ("3", "ok")]

    def test_duplicates_replace_what_is_there(self, session: Connection) -> None:
        assert session.offer(page("T|1|7||first", "T|5|5||x"))
        found = page("T|1|8||second", "T|2|||new", "T|2|9||newer", "T|2|10||newest", "T|3|5||tag")
        outcome = sort(session, found, {"Thing": Duplicates.UPDATE})
        session.commit()
        assert told(outcome.faults) == [(5, "Thing", "tag", "Duplicate: tag=5 exists already")]
        assert sorted(outcome.updated) == [1, 3, 4]
        kept = [("1", "8", "second"), ("2", "10", "newest"), ("5", "5", "x")]
        assert self.rows("things", "thing, tag, note", session) == kept

    def test_the_database_makes_keys_and_tells_them(self, session: Connection) -> None:
        outcome = sort(session, page("E|1|1|a", "E|1|2|b", "E|1|1|c"), {"Event": Duplicates.SKIP})
        session.commit()
        assert sorted(outcome.ids) == [1, 2]
        found = self.rows("events", "id, note", session)
        assert found == sorted([(str(outcome.ids[1]), "a"), (str(outcome.ids[2]), "b")])

    def test_rows_with_keys_of_the_database_are_updated_by_what_is_unique(self, session: Connection) -> None:
        assert session.offer(page("E|1|1|a"))
        outcome = sort(session, page("E|1|1|b"), {"Event": Duplicates.UPDATE})
        assert tuple(outcome.updated) == (1,)
        assert self.rows("events", "source, at, note", session) == [("1", "1", "b")]

    def test_what_somebody_else_forbids_is_told_in_the_words_of_the_database(self, session: Connection) -> None:
        self.forbid(session)
        bad = {7, 300, 301, 500}
        found = page(*(f"P|{n}|{'no' if n in bad else 'yes'}" for n in range(1, 501)))
        assert not session.offer(found)
        outcome = sort(session, found, {})
        session.commit()
        assert {fault.line_number for fault in outcome.faults} == bad
        assert all("no_no" in fault.message and "\n" not in fault.message for fault in outcome.faults)
        assert len(self.rows("places", "place", session)) == 496

    def forbid(self, session: Connection) -> None:
        """Let `places` refuse rows whose name is "no", by a constraint `no_no`."""
        raise NotImplementedError

    def test_several_blocks_are_one_transaction(self, session: Connection) -> None:
        assert session.offer(page("P|1|a"))
        assert sort(session, page("P|1|b", "P|2|c"), {"Place": Duplicates.SKIP}).skipped == (1,)
        assert sort(session, page("P|3|b", "P|2|c"), {"Place": Duplicates.SKIP}).skipped == (2,)
        assert session.offer(page("P|4|a"))
        session.rollback()
        assert self.rows("places", "place", session) == []

    def test_rows_that_refer_to_each_other_stand_as_long_as_all_do(self, session: Connection) -> None:
        found = page("N|1|2|", "N|2||", "N|3|9|", "N|4|3|", "N|5|4|", "N|6|7|", "N|7|6|", "N|8|8|", "N|3||", "N|10|3|")
        outcome = sort(session, found, {})
        assert told(outcome.faults) == [(3, "Node", "above", "Foreign key violation: above=9 not found")]
        standing = [("1", "2"), ("2", None), ("3", None), ("4", "3"), ("5", "4"), ("6", "7"), ("7", "6"), ("8", "8")]
        assert sorted(self.rows("nodes", "node, above", session)) == sorted([*standing, ("10", "3")])
        outcome = sort(session, page("N|11|12|", "N|12|13|", "N|13|99|"), {})
        assert [fault.line_number for fault in outcome.faults] == [1, 2, 3]

    def test_a_long_chain_falls_at_once(self, session: Connection) -> None:
        chain = page(*(f"N|{number}|{number + 1}|" for number in range(1, 3001)))
        assert len(sort(session, chain, {}).faults) == 3000

    def test_what_hung_on_a_row_that_is_refused_is_judged_again(self, session: Connection) -> None:
        self.forbid(session)
        outcome = sort(session, page("P|1|no", "P|1|yes", "P|1|late", "P|2|a"), {"Place": Duplicates.SKIP})
        assert [fault.line_number for fault in outcome.faults] == [1]
        assert outcome.skipped == (3,)
        outcome = sort(session, page("P|3|no", "P|3|yes", "P|3|last"), {"Place": Duplicates.UPDATE})
        assert ([fault.line_number for fault in outcome.faults], outcome.updated) == ([1], (3,))
        assert self.rows("places", "place, name", session) == [("1", "yes"), ("2", "a"), ("3", "last")]

    def test_an_update_replaces_the_whole_row(self, make: Make) -> None:
        short = Layout("Place", "Q", PLACE.fields[:1])
        store, reader = make(), LineReader([replace(PLACE, layouts=(*PLACE.layouts, short))])
        store.prepare([replace(PLACE, layouts=(*PLACE.layouts, short))])
        with another(store) as session:
            assert session.offer(reader.read(Piece(b"P|1|a", 1)))
            outcome = sort(session, reader.read(Piece(b"Q|1", 1)), {"Place": Duplicates.UPDATE})
            assert outcome.updated == (1,)
            assert self.rows("places", "place, name", session) == [("1", None)]
        store.close()

    def test_ids_are_told_of_what_was_inserted_alone(self, session: Connection) -> None:
        assert session.offer(page("E|1|1|a"))
        outcome = sort(session, page("E|1|1|b", "E|1|2|c", "E|1|2|d"), {"Event": Duplicates.UPDATE})
        assert (sorted(outcome.updated), sorted(outcome.ids)) == ([1, 3], [2])

    @pytest.mark.parametrize(
        "text", ["\\", "a\\", "\\N", "\\.", "a\\\\b", "\"q\" 'q'", "\u00e9\U0001f600", '{"a": 1}', " x "]
    )
    def test_texts_stay_as_they_are(self, session: Connection, text: str) -> None:
        assert session.offer(page(f"A|1|1|{text}", "T|1|||z"))
        assert session.offer(page(f"P|1|{text}", f"T|2|||{text}"))
        assert not sort(session, page(f"P|2|{text}"), {}).faults
        assert self.rows("places", "name", session) == [(text,)] * 2
        assert self.rows("parts", "note", session) == [(text,)]

    def test_a_message_with_line_breaks_and_delimiters_stays_as_it_is(self, session: Connection) -> None:
        texts = ["a|b", "a\nb\r", "\\|", "\\n", "x\\", "|"]
        records = [Record(PLACE, {"place": number, "name": text}) for number, text in enumerate(texts, 1)]
        records.append(Record(PLACE, {"place": 9, "name": None}))
        assert session.offer(RecordPage(enumerate(records, 1), (), str))
        assert self.rows("places", "place, name", session) == [
            *((str(number), text) for number, text in enumerate(texts, 1)),
            ("9", None),
        ]

    def test_of_two_who_take_a_note_at_once_one_does(self, store: Store) -> None:
        def take(value: bytes) -> bool:
            with another(store) as session:
                taken = session.take_note("s", "n", value, None)
                session.commit()
                return taken

        with ThreadPoolExecutor(8) as threads:
            taken = list(threads.map(take, [b"%d" % number for number in range(8)]))
        assert sum(taken) == 1

    def test_several_may_prepare_at_once(self, make: Make) -> None:
        with ThreadPoolExecutor(6) as threads:
            list(threads.map(lambda store: store.prepare(ENTITIES), [make() for _ in range(6)]))

    def test_several_sessions_keep_the_same_keys_once(self, store: Store) -> None:
        numbers = list(range(1, 201))

        def keep(turn: int) -> int:
            with another(store) as session:
                order = numbers if turn % 2 else numbers[::-1]
                outcome = sort(session, page(*(f"P|{number}|{turn}" for number in order)), {"Place": Duplicates.SKIP})
                assert not outcome.faults
                session.commit()
                return len(order) - len(outcome.skipped)

        with ThreadPoolExecutor(4) as threads:
            assert sum(threads.map(keep, range(4))) == 200

    def test_who_does_not_wait_is_told_when_others_hold_a_row(self, store: Store, session: Connection) -> None:
        if store.most_sessions == 1:
            pytest.skip("one session has the database to itself")
        assert session.offer(page("P|1|a"))
        with another(store) as other:
            assert not other.offer(page("P|2|b", "P|1|b"))
            assert other.sort(page("P|2|b", "P|1|b"), {}, waits=False) is None
            session.commit()
            assert told(sort(other, page("P|2|b", "P|1|b"), {}).faults)[0][0] == 2
            other.commit()
        assert self.rows("places", "place, name", session) == [("1", "a"), ("2", "b")]

    def test_notes_are_taken_by_who_saw_the_last_one(self, store: Store, session: Connection) -> None:
        assert session.note("s", "n") is None
        assert session.take_note("s", "n", b"1", None)
        assert not session.take_note("s", "n", b"2", None)
        assert not session.take_note("s", "n", b"2", b"0")
        session.commit()
        assert session.take_note("s", "n", b"\0\xff", b"1")
        session.commit()
        with another(store) as other:
            assert other.note("s", "n") == b"\0\xff"
            assert other.note("other", "n") is None
            assert other.forget_notes("s", 3600) == 0
            assert other.forget_notes("s", -1) == 1
            assert other.note("s", "n") is None

    def test_the_outbox_gives_what_is_committed_in_its_order(self, store: Store, session: Connection) -> None:
        session.post("a", [(b"k", b"1"), (None, b"\0\\\n")])
        session.post("b", [(None, b"3")])
        session.commit()
        with another(store) as other:
            found = other.posted("a", 10)
            assert [(message.key, message.value) for message in found] == [(b"k", b"1"), (None, b"\0\\\n")]
            assert [message.value for message in other.posted("a", 1)] == [b"1"]
            other.settle("a", [found[0].id])
            other.commit()
            assert [message.value for message in other.posted("a", 10)] == [b"\0\\\n"]
            assert [message.value for message in other.posted("b", 10)] == [b"3"]

    def test_tables_are_made_once_and_grow(self, make: Make, session: Connection) -> None:
        assert session.offer(page("P|1|a"))
        session.commit()
        grown = replace(
            PLACE, fields=(*PLACE.fields, _field("size", nullable=True)), layouts=(Layout("Place", "P", PLACE.fields),)
        )
        again = make()
        again.prepare(ENTITIES)
        again.prepare([grown])
        with another(again) as other:
            assert self.rows("places", "place, name, size", other) == [("1", "a", None)]
        again.close()

    def test_nothing_is_changed_when_something_would_be_lost(self, make: Make, session: Connection) -> None:
        changed = (PLACE.fields[0], _field("name", nullable=True))
        less = replace(PLACE, fields=changed, layouts=(Layout("Place", "P", changed),))
        fresh = _entity("Fresh", "F", [_field("id")], Storage("fresh", ("id",)))
        again = make()
        with pytest.raises(SchemaRefusal, match="name"):
            again.prepare([fresh, less])
        again.close()
        with pytest.raises(Exception, match="fresh"):
            self.rows("fresh", "id", session)

    def test_columns_and_tables_of_others_are_left_alone(self, make: Make, session: Connection) -> None:
        self.execute(session, "ALTER TABLE places ADD COLUMN theirs text")
        self.execute(session, "CREATE INDEX their_index ON places (theirs)")
        again = make()
        again.prepare(ENTITIES)
        with another(again) as other:
            assert other.offer(page("P|1|a"))
            other.commit()
        again.close()

    def test_it_does_what_a_row_by_row_database_does(self, store: Store) -> None:
        hypothesis = pytest.importorskip("hypothesis")
        from hypothesis import strategies as st

        policies = st.fixed_dictionaries({entity.name: st.sampled_from(list(Duplicates)) for entity in ENTITIES})
        block = st.tuples(st.lists(_lines(st), min_size=1, max_size=15), policies, st.booleans())
        given = hypothesis.given(st.lists(block, min_size=1, max_size=3))
        settings = hypothesis.settings(max_examples=self.examples, deadline=None, derandomize=self.examples == 300)
        with another(store) as session:
            settings(given(lambda blocks: self._agree(session, blocks)))()

    examples = 300

    def _agree(self, session: Connection, blocks: Sequence[tuple[list[str], dict[str, Duplicates], bool]]) -> None:
        model = Model()
        for drawn, policies, offered in blocks:
            # Whether a key that an update lets go of may be used again in the same block is up to the store.
            lines = [_untagged(line) for line in drawn] if policies["Thing"] is Duplicates.UPDATE else drawn
            if offered:
                if session.offer(page(*lines)):
                    assert not model.sort(lines, {}).faults
                continue
            expected = model.sort(lines, policies)
            outcome = sort(session, page(*lines), policies)
            assert told(outcome.faults) == expected.faults
            assert set(outcome.skipped) == expected.skipped
            assert set(outcome.updated) == expected.updated
            assert set(outcome.ids) == expected.made
        for entity, columns in _SHOWN.items():
            table = next(found.storage.table for found in ENTITIES if found.name == entity and found.storage)
            assert self.rows(table, columns, session) == model.rows(entity)
        session.rollback()


@contextmanager
def another(store: Store) -> Iterator[Connection]:
    """A session of a store that is ended."""
    session = store.connect()
    try:
        yield session
    finally:
        session.close()


def sort(session: Connection, block: Page, duplicates: Mapping[str, Duplicates]) -> Outcome:
    """What became of a block that was sorted."""
    outcome = session.sort(block, duplicates)
    assert outcome is not None
    return outcome


def told(faults: Sequence[Fault]) -> list[tuple[int, str | None, str | None, str]]:
    """What faults say."""
    return [(fault.line_number, fault.entity, fault.field, fault.message) for fault in faults]


_SHOWN = {
    "Place": "place, name",
    "Thing": "thing, tag, place, note",
    "Part": "thing, number, note",
    "Event": "source, at, note",
    "Node": "node, above, note",
}


def _lines(st: Any) -> Any:
    """Lines over a few keys, as a strategy of hypothesis."""
    key, maybe, note = st.sampled_from("1234"), st.sampled_from(["", *"1234"]), st.sampled_from(["", "x", "y"])
    cells = [("P", key, note), ("T", key, maybe, maybe, st.just("z")), ("A", key, key, note), ("E", key, key, note)]
    cells += [("N", key, maybe, note)] * 2
    return st.one_of(*(st.tuples(st.just(prefix), *rest).map("|".join) for prefix, *rest in cells))


def _untagged(line: str) -> str:
    prefix, *cells = line.split("|")
    return "|".join([prefix, cells[0], "", *cells[2:]]) if prefix == "T" else line


@dataclass
class Expected:
    """What a model says of a block."""

    faults: list[tuple[int, str | None, str | None, str]] = field(default_factory=list)
    skipped: set[int] = field(default_factory=set)
    updated: set[int] = field(default_factory=set)
    made: set[int] = field(default_factory=set)  # whose keys the database makes


class Model:
    """A database that takes rows one by one, as simply as can be."""

    def __init__(self) -> None:
        self._tables: dict[str, list[dict[str, str]]] = {entity.name: [] for entity in ENTITIES}

    def rows(self, entity: str) -> Rows:
        """What it holds."""
        found = [tuple(cell or None for cell in row.values()) for row in self._tables[entity]]
        return sorted(found, key=lambda row: [cell or "" for cell in row])

    def sort(self, lines: Sequence[str], policies: Mapping[str, Duplicates]) -> Expected:
        """Take lines, table by table, and in each table one by one."""
        expected = Expected()
        for entity in (PLACE, THING, PART, EVENT, NODE):
            rows = {
                number: dict(zip((field.name for field in entity.fields), line.split("|")[1:], strict=True))
                for number, line in enumerate(lines, 1)
                if line.split("|")[0] == entity.layouts[0].prefix
            }
            found = self._take_all(entity, rows, policies.get(entity.name, Duplicates.ERROR))
            expected.faults += found.faults
            expected.skipped |= found.skipped
            expected.updated |= found.updated
            expected.made |= found.made
        expected.faults.sort(key=lambda fault: fault[0])
        return expected

    def _take_all(self, entity: Entity, rows: Mapping[int, dict[str, str]], policy: Duplicates) -> Expected:
        """Again and again, until no row refers to one of its own table that does not stand."""
        before, fallen = [dict(row) for row in self._tables[entity.name]], set[int]()
        while True:
            expected = Expected()
            for number, row in rows.items():
                self._take(entity, number, dict(row), policy, expected, has_fallen=number in fallen)
            out = {fault[0] for fault in expected.faults} | expected.skipped
            there = {row["node"] for row in self._tables["Node"]}
            needing = [number for number in rows.keys() - out if entity is NODE and rows[number]["above"]]
            if not (more := {number for number in needing if rows[number]["above"] not in there}):
                return expected
            fallen |= more
            self._tables[entity.name] = [dict(row) for row in before]

    def _take(
        self,
        entity: Entity,
        number: int,
        row: dict[str, str],
        policy: Duplicates,
        expected: Expected,
        *,
        has_fallen: bool,
    ) -> None:
        storage = entity.storage
        assert storage is not None
        keys = [storage.primary_key] if not storage.generated else []
        keys += [storage.unique] if storage.unique else []
        identity = keys[0]
        hits = [(key, old) for key in keys if (old := self._same(entity, key, row)) is not None]
        missing = self._missing(entity, row, has_fallen=has_fallen)
        if hits and policy is Duplicates.SKIP:
            expected.skipped.add(number)
        elif hits and policy is Duplicates.UPDATE and hits[0][0] == identity:
            self._update(entity, number, row, hits[0][1], keys, missing, expected)
        elif hits:
            expected.faults.append(self._duplicate(entity, number, hits[0][0], row))
        elif missing:
            expected.faults.append((number, entity.name, missing[0], missing[1]))
        else:
            self._tables[entity.name].append(row)
            expected.made |= {number} if storage.generated else set()

    def _update(
        self,
        entity: Entity,
        number: int,
        row: dict[str, str],
        old: dict[str, str],
        keys: Sequence[tuple[str, ...]],
        missing: tuple[str, str] | None,
        expected: Expected,
    ) -> None:
        clash = next((key for key in keys[1:] if self._same(entity, key, row) not in (None, old)), None)
        if clash:
            expected.faults.append(self._duplicate(entity, number, clash, row))
        elif missing:
            expected.faults.append((number, entity.name, missing[0], missing[1]))
        else:
            old.update(row)
            expected.updated.add(number)

    def _same(self, entity: Entity, key: Sequence[str], row: dict[str, str]) -> dict[str, str] | None:
        if not all(row[name] for name in key):
            return None
        return next((old for old in self._tables[entity.name] if all(old[name] == row[name] for name in key)), None)

    def _missing(self, entity: Entity, row: dict[str, str], *, has_fallen: bool) -> tuple[str, str] | None:
        if has_fallen:
            return "above", f"Foreign key violation: above={row['above']} not found"
        place = {"Thing": ("place", "Place"), "Part": ("thing", "Thing")}.get(entity.name)
        if place is None or not row[place[0]]:
            return None
        if any(old[place[0]] == row[place[0]] for old in self._tables[place[1]]):
            return None
        return place[0], f"Foreign key violation: {place[0]}={row[place[0]]} not found"

    @staticmethod
    def _duplicate(
        entity: Entity, number: int, key: Sequence[str], row: dict[str, str]
    ) -> tuple[int, str | None, str | None, str]:
        pairs = ", ".join(f"{name}={row[name]}" for name in key)
        return number, entity.name, key[0] if len(key) == 1 else None, f"Duplicate: {pairs} exists already"


__all__ = ["Outcome", "StoreContract"]
