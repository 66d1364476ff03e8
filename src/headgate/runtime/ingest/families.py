"""The families: records that come out of one message. All of them are kept, or none."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from headgate.core.entity import Fault, Record
from headgate.core.page import RecordPage
from headgate.store.base import Connection, Duplicates, Outcome

Policies = Mapping[str, Duplicates]


def sort_families(session: Connection, page: RecordPage, duplicates: Policies, *, waits: bool) -> Outcome | None:
    """What `sort` does, for messages: the outcome is that of the records that they carry themselves."""
    told: dict[int, Fault] = {}  # what the database has against records that come out of a message
    with session.attempt() as undo:
        while True:
            found = _sorted(session, page, duplicates, told.keys(), waits=waits)
            if found is None:
                undo()
                return None
            outcome, refused = found
            if not refused:
                break
            # Others may have referred to what these messages brought, or had to give way to it.
            told |= _for_certain(page, refused)
            undo()
    faults = sorted((*outcome.faults, *told.values()), key=lambda fault: fault.line_number)
    return replace(outcome, faults=tuple(faults))


def _sorted(
    session: Connection, page: RecordPage, duplicates: Policies, without: Collection[int], *, waits: bool
) -> tuple[Outcome, dict[int, Fault]] | None:
    """The outcome of the messages, and what is wrong with what came out of those that may stay."""
    outcome = session.sort(page.carried(without), duplicates, waits=waits)
    if outcome is None:
        return None
    passed = {*without, *outcome.skipped, *(fault.line_number for fault in outcome.faults)}
    numbers, records = page.derived(passed)
    derived = session.sort(records, duplicates, waits=waits)
    if derived is None:
        return None
    faults = ((numbers[fault.line_number - 1], fault) for fault in reversed(derived.faults))
    return outcome, {number: replace(fault, line_number=number) for number, fault in faults}


def _for_certain(page: RecordPage, refused: Mapping[int, Fault]) -> dict[int, Fault]:
    """Those that are not refused for the sake of a message that is refused itself. The first one never is."""
    first: dict[tuple[object, ...], int] = {}  # keys, by the first of these messages that has them
    doubtful = set()
    for number, record in page.records(refused):
        if any(first.setdefault(key, number) != number for key in _keys(record)):
            doubtful.add(number)
    return {number: fault for number, fault in refused.items() if number not in doubtful}


def _keys(record: Record) -> Iterator[tuple[object, ...]]:
    """What no other record may have as well."""
    storage = record.entity.storage
    if storage is None:
        return
    names = {field.column: field.name for field in record.entity.stored}
    for columns in (storage.primary_key, storage.unique):
        values = [record.values.get(names.get(column, "")) for column in columns]
        if values and None not in values:
            yield (storage.table, columns, *values)
