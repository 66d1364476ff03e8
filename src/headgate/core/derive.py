"""Deriving: the records that come out of another one, where entities are computed from their parents."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from headgate.core.entity import Computed, Derivation, Entity, Fault, Record, Transform
from headgate.core.kinds import text_of
from headgate.core.records import record_of_texts

Scope = Mapping[str, Mapping[str, object]]  # the records and items that a field may come from, by name

_TAKEN: Mapping[Transform, tuple[tuple[type, ...], str]] = {
    Transform.JSON_GET_STRING: ((str,), "a string"),
    Transform.JSON_GET_OPTIONAL_STRING: ((str,), "a string"),
    Transform.JSON_GET_INT: ((int,), "an integer"),
    Transform.JSON_GET_FLOAT: ((int, float), "a number"),
    Transform.JSON_GET_OPTIONAL_FLOAT: ((int, float), "a number"),
}
_OPTIONAL = (Transform.JSON_GET_OPTIONAL_STRING, Transform.JSON_GET_OPTIONAL_FLOAT)


class Deriver:
    """Computes the records of those entities that have parents."""

    def __init__(self, entities: Sequence[Entity]) -> None:
        self._below: dict[str, list[tuple[Entity, Derivation]]] = defaultdict(list)
        for entity in entities:
            if entity.derivation:
                self._below[entity.derivation.parent].append((entity, entity.derivation))

    def derive(self, record: Record) -> Iterator[Record | Fault]:
        """What comes out of a record, and out of that in turn; each after the record that it came from."""
        return self._derive(record, {record.entity.name: record.values})

    def _derive(self, record: Record, scope: Scope) -> Iterator[Record | Fault]:
        for entity, derivation in self._below[record.entity.name]:
            for place, inner in _scopes(derivation, record, scope):
                made = _made(entity, inner)
                if isinstance(made, Fault):
                    yield replace(made, message=f"{place}{made.message}")
                else:
                    yield made
                    yield from self._derive(made, {**inner, entity.name: made.values})


def _scopes(derivation: Derivation, record: Record, scope: Scope) -> Iterator[tuple[str, Scope]]:
    """What the fields may come from, once for each record to be made, and where that stands."""
    if not derivation.field:
        yield "", scope
        return
    items = record.values[derivation.field]
    assert isinstance(items, list | None)
    for at, item in enumerate(items or ()):
        assert isinstance(item, dict)
        yield f"{derivation.field}[{at}]: ", {**scope, derivation.item: item}


def _made(entity: Entity, scope: Scope) -> Record | Fault:
    texts: dict[str, str] = {}
    for field in entity.given:
        if field.computed:
            value, wrong = _computed(field.computed, scope)
            if wrong:
                return Fault(f"{field.name} {wrong}", entity=entity.name, field=field.name)
            texts[field.name] = text_of(value)
    return record_of_texts(entity, texts)


def _computed(computed: Computed, scope: Scope) -> tuple[object, str]:
    """The value of a computed field, or what is wrong."""
    source: object = scope[computed.source]
    for step in computed.path:
        source = source.get(step) if isinstance(source, Mapping) else None
    if computed.transform is Transform.COPY_FIELD:
        return source, ""
    kinds, words = _TAKEN[computed.transform]
    if isinstance(source, kinds) and not isinstance(source, bool):
        return source, ""
    if computed.transform in _OPTIONAL:
        return None, ""
    return None, f"needs {words} as {computed.path[-1]} of {computed.source}"
