"""Records that come out of others: a message is kept with all that comes out of it, or not at all."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gates.ingest import Sender, ingesting
from tests.services.postgres import PostgresCluster

pytestmark = pytest.mark.anyio
PARCEL = """\
entity:
  name: Parcel
  prefix: P
  fields:
    - {name: parcel_key, type: Integer}
    - {name: above, type: Integer, nullable: true}
    - {name: items, type: "List[Object]"}
  persistence:
    database:
      conformant_table: parcels
      conformant_id_column: parcel_key
      foreign_keys: [{name: above, references: parcels.parcel_key}]
    field_overrides: [{name: parcel_key}, {name: above}]
"""
ITEM = """\
entity:
  name: Item
  type: derived
  parent: Parcel
  repeated_for: {entity: Parcel, field: items, each_known_as: item}
  fields:
    - name: parcel_key
      type: Integer
      computed_from: {transform: copy_field, sources: [{source: Parcel, field: parcel_key}]}
    - name: part
      type: String
      max_length: 9
      computed_from: {transform: json_get_string, sources: [item], args: {key: part}}
    - name: kind
      type: Integer
      computed_from: {transform: json_get_int, sources: [item], args: {key: kind}}
  persistence:
    database:
      conformant_table: items
      unicity_fields: [part]
      foreign_keys: [{name: kind, references: kinds.kind}]
    primary_key: {name: id, type: Integer, autogenerate: true}
"""
KIND = """\
entity:
  name: Kind
  fields: [{name: kind, type: Integer}]
  persistence: {database: {conformant_table: kinds, conformant_id_column: kind}}
"""


def parcel(key: int, *parts: str, kind: int = 1, above: int | None = None) -> dict[str, object]:
    record = {"parcel_key": key, "above": above, "items": [{"part": part, "kind": kind} for part in parts]}
    return {"entity": "Parcel", "record": record}


@pytest.fixture(params=["sqlite", "postgresql"])
async def sender(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sender]:
    folder = tmp_path / "entities"
    folder.mkdir()
    for name, text in (("parcel", PARCEL), ("item", ITEM), ("kind", KIND)):
        (folder / f"{name}.yaml").write_text(text)
    url = f"sqlite:///{tmp_path}/store.db"
    if request.param == "postgresql":
        cluster: PostgresCluster = request.getfixturevalue("postgres")
        url = cluster.create_database()
    policy = ", on_duplicate: {Parcel: skip, Item: error, Kind: skip}"
    async with ingesting(url, base="", entities=folder, interface=policy) as sender:
        assert (await sender.post("batch", "K|1\nK|2\n")).status_code == 200
        yield sender


async def batch(sender: Sender, *parcels: dict[str, object], parameters: str = "") -> dict[str, object]:
    body = "\n".join(map(json.dumps, parcels))
    answer: dict[str, object] = (
        await sender.post(f"batch{parameters}", body, Content_Type="application/x-ndjson")
    ).json()
    answer.pop("duration_ms", None)
    return answer


async def kept(sender: Sender) -> tuple[list[int], list[str]]:
    parts = [part for (part,) in await sender.rows("items", "part")]
    return [key for (key,) in await sender.rows("parcels", "parcel_key")], parts


async def test_a_message_is_kept_with_what_comes_out_of_it(sender: Sender) -> None:
    answer = await batch(sender, parcel(1, "a", "b"), parcel(2), parcel(3, "c"))
    assert (answer["processed"], answer["inserted"]) == (3, 3)
    assert await kept(sender) == ([1, 2, 3], ["a", "b", "c"])


async def test_a_derived_record_that_is_refused_takes_its_message_with_it(sender: Sender) -> None:
    answer = await batch(sender, parcel(1, "a"), parcel(2, "b", "a"), parcel(3, "c", kind=9), parcel(4, "b"))
    assert (answer["inserted"], answer["failed"]) == (2, 2)
    assert [(error["line_number"], error["entity"], error["message"]) for error in answer["errors"]] == [  # type: ignore[attr-defined]
        (2, "Item", "Duplicate: part=a exists already"),
        (3, "Item", "Foreign key violation: kind=9 not found"),
    ]
    assert await kept(sender) == ([1, 4], ["a", "b"])


async def test_what_refers_to_a_message_that_is_refused_is_refused_too(sender: Sender) -> None:
    answer = await batch(sender, parcel(1, "a", kind=9), parcel(2, "b", above=1), parcel(3, "c", above=2), parcel(4))
    assert (answer["inserted"], answer["failed"]) == (1, 3)
    assert await kept(sender) == ([4], [])


async def test_nothing_comes_out_of_a_message_that_is_refused_or_passed_over(sender: Sender) -> None:
    await batch(sender, parcel(1, "a"))
    answer = await batch(sender, parcel(1, "b"), parcel(2, "c", above=99), parcel(3, "d"))
    assert (answer["inserted"], answer["duplicates"], answer["failed"]) == (1, 1, 1)
    assert await kept(sender) == ([1, 3], ["a", "d"])


async def test_derived_records_that_are_there_already_may_stay(sender: Sender) -> None:
    await batch(sender, parcel(1, "a"))
    answer = await batch(sender, parcel(2, "a", "b"), parcel(1, "c"), parameters="?on_duplicate=skip")
    assert (answer["inserted"], answer["duplicates"], answer["failed"]) == (1, 1, 0)
    assert await kept(sender) == ([1, 2], ["a", "b"])


async def test_an_update_replaces_and_adds_what_comes_out(sender: Sender) -> None:
    await batch(sender, parcel(1, "a", "b"))
    answer = await batch(sender, parcel(1, "b", "c", kind=2), parameters="?on_duplicate=update")
    assert (answer["inserted"], answer["updated"]) == (0, 1)
    assert await kept(sender) == ([1], ["a", "b", "c"])
    assert await sender.rows("items", "part, kind") == [("a", 1), ("b", 2), ("c", 2)]


async def test_all_or_nothing_is_of_derived_records_too(sender: Sender) -> None:
    answer = await batch(sender, parcel(1, "a"), parcel(2, "b", kind=9), parameters="?mode=atomic")
    assert (answer["status"], answer["failed"]) == ("error", 1)
    assert await kept(sender) == ([], [])


async def test_single_messages_have_what_comes_out_of_them_or_nothing(sender: Sender) -> None:
    async def send(found: dict[str, object]) -> tuple[int, dict[str, object]]:
        response = await sender.post("message", json.dumps(found), Content_Type="application/json")
        return response.status_code, response.json()

    assert (await send(parcel(7, "a")))[1]["id"] == 7
    status, answer = await send(parcel(8, "b", "a"))
    assert (status, answer["message"], answer["entity"]) == (400, "Duplicate: part=a exists already", "Item")
    status, answer = await send(parcel(7, "c"))
    assert (status, answer["duplicate"]) == (200, True)
    assert await kept(sender) == ([7], ["a"])
