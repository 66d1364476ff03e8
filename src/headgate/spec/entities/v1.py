"""The v1 dialect: an entity as a resource with `apiVersion`, `metadata` and `spec`, in camelCase.

It is checked by its own grammar, so that mistakes are told in its own words, and then rewritten to the classic one.
Every node keeps its place on the way.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from headgate.spec.entities.grammar import (
    LONGEST_TEXT,
    MOST_FIELDS,
    ArgsSpec,
    EntityType,
    ForeignKeySpec,
    LayoutSpec,
    Parents,
    PrimaryKeySpec,
    TransformName,
)
from headgate.spec.entities.names import EntityName, FieldName, Prefix, TableName, TypeName, snake_case
from headgate.spec.tree import Entry, Items, Mark, Node, Path, Scalar, child, find
from headgate.spec.tree import Mapping as MappingNode
from headgate.spec.values import Option, Spec, expected


class MetadataSpec(Spec):
    """What the resource is."""

    name: EntityName = Field(description="What the entity is called.")
    labels: dict[str, Option] = Field(default_factory=dict, description="Not used.")
    annotations: dict[str, Option] = Field(default_factory=dict, description="`description` is what the entity means.")


class ConstraintsSpec(Spec):
    """What a field may hold."""

    nullable: bool = Field(False, description="Whether it may be empty.")
    maxLength: int | None = Field(None, ge=1, le=LONGEST_TEXT, description="Of a text: characters at most.")
    minLength: int | None = Field(None, ge=1, le=LONGEST_TEXT, description="Of a text: characters at least.")
    enum: list[str] | None = Field(None, min_length=1, max_length=1000, description="Of a text: the only ones allowed.")
    precision: int | None = Field(None, ge=1, le=1000, description="Of a decimal: digits in all.")
    scale: int | None = Field(None, ge=0, le=1000, description="Of a decimal: digits after the point.")
    minimum: int | None = Field(None, ge=-(2**63), le=2**63 - 1, description="Of an integer: the smallest.")
    maximum: int | None = Field(None, ge=-(2**63), le=2**63 - 1, description="Of an integer: the largest.")
    primaryKey: bool = Field(False, description="Whether it belongs to the primary key.")
    indexed: bool = Field(False, description="Whether the table has an index of it.")


class SourceV1Spec(Spec):
    """Where a field comes from: a copy, a transform or a constant."""

    copyFrom: EntityName | None = Field(None, description="The parent whose field is copied.")
    field: FieldName | None = Field(None, description="That field.")
    transform: TransformName | None = Field(None, description="What is done with the input.")
    inputs: list[EntityName] | None = Field(None, min_length=1, max_length=1, description="The one input.")
    args: ArgsSpec | None = Field(None, description="The key, for a transform that reads JSON.")
    constant: Option | None = Field(None, description="The value of every record.")

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        ways = (self.copyFrom is not None, self.transform is not None, self.constant is not None)
        whole = (self.copyFrom is None) == (self.field is None) and (self.transform is None) == (self.inputs is None)
        if sum(ways) != 1 or not whole:
            raise expected("either copyFrom with field, or transform with inputs, or constant")
        return self


class FieldV1Spec(Spec):
    """One field."""

    name: FieldName = Field(description="What it is called; its column is that in snake_case.")
    type: TypeName = Field(description="What it holds.")
    constraints: ConstraintsSpec | None = Field(None, description="What it may hold.")
    source: SourceV1Spec | None = Field(None, description="Where it comes from.")
    doc: str = Field("", description="What it means.")


class RepeatedForV1Spec(Spec):
    """One record for each item of a list in the parent."""

    entity: EntityName = Field(description="The parent.")
    field: FieldName = Field(description="Its list of objects.")
    itemName: EntityName = Field(description="What the sources of fields call an item.")


class DerivationV1Spec(Spec):
    """What an entity comes out of."""

    parent: EntityName | None = Field(None, description="Its parent.")
    parents: Parents = Field(default_factory=list, description="Its parents.")
    repeatedFor: RepeatedForV1Spec | None = Field(None, description="The list that it is made of.")


class UnicitySpec(Spec):
    """What no two records share."""

    fields: list[FieldName] = Field(description="No two rows have the same of these.")


class PersistenceV1Spec(Spec):
    """Where records are kept."""

    enabled: bool = Field(True, description="Whether they are.")
    table: TableName = Field(description="The table.")
    unicity: UnicitySpec | None = Field(None, description="What no two records share.")
    primaryKey: PrimaryKeySpec | None = Field(None, description="The primary key.")
    foreignKeys: list[ForeignKeySpec] = Field(default_factory=list, description="What must be in other tables.")


class SpecSpec(Spec):
    """The entity itself."""

    type: EntityType | None = Field(None, description="`root`, `derived` or `reference`.")
    prefix: Prefix | None = Field(None, description="What its messages begin with; default: the name's first letter.")
    extends: EntityName | None = Field(None, description="The entity whose fields and keys it has, too.")
    abstract: bool = Field(False, description="Whether it is there for others to extend, and has no records.")
    derivation: DerivationV1Spec | None = Field(None, description="What it comes out of.")
    fields: list[FieldV1Spec] = Field(default_factory=list, max_length=MOST_FIELDS, description="Its fields, in order.")
    layouts: list[LayoutSpec] = Field(
        default_factory=list, max_length=100, description="Other layouts of its messages."
    )
    persistence: PersistenceV1Spec | None = Field(None, description="Where it is kept.")


class EntityV1File(Spec):
    """A file with one entity in the v1 dialect."""

    apiVersion: Literal["nomnom.io/v1"] = Field(description="The dialect.")
    kind: Literal["Entity"] = Field("Entity", description="What the resource is.")
    metadata: MetadataSpec = Field(description="What it is called.")
    spec: SpecSpec = Field(description="The entity.")


_CONSTRAINTS: Mapping[str, Path] = {
    "name": ("name",),
    "type": ("type",),
    "doc": ("doc",),
    "nullable": ("constraints", "nullable"),
    "max_length": ("constraints", "maxLength"),
    "min_length": ("constraints", "minLength"),
    "enum": ("constraints", "enum"),
    "precision": ("constraints", "precision"),
    "scale": ("constraints", "scale"),
    "minimum": ("constraints", "minimum"),
    "maximum": ("constraints", "maximum"),
    "primary_key": ("constraints", "primaryKey"),
    "index": ("constraints", "indexed"),
    "constant": ("source", "constant"),
}
_ENTITY: Mapping[str, Path] = {
    "name": ("metadata", "name"),
    "doc": ("metadata", "annotations", "description"),
    "type": ("spec", "type"),
    "prefix": ("spec", "prefix"),
    "extends": ("spec", "extends"),
    "abstract": ("spec", "abstract"),
    "layouts": ("spec", "layouts"),
}
_DATABASE: Mapping[str, Path] = {
    "conformant_table": ("table",),
    "unicity_fields": ("unicity", "fields"),
    "foreign_keys": ("foreignKeys",),
}
_DERIVATION: Mapping[str, Path] = {"parent": ("parent",), "parents": ("parents",)}
_REPEATED: Mapping[str, Path] = {"entity": ("entity",), "field": ("field",), "each_known_as": ("itemName",)}


def classic(tree: Node) -> Node:
    """A sound file of this dialect, as the classic one would say it."""
    spec = find(tree, ("spec",))
    assert spec is not None
    entity = {
        **_picked(tree, _ENTITY),
        "derivation": _derivation(child(spec, "derivation")),
        "fields": _each(child(spec, "fields"), _field),
        "persistence": _persistence(child(spec, "persistence")),
    }
    return _mapping(tree.mark, {"entity": _mapping(spec.mark, entity)})


def _field(field: Node) -> Node:
    name = child(field, "name")
    assert isinstance(name, Scalar)
    column = replace(name, value=snake_case(name.text), text=snake_case(name.text))
    computed = _computed(child(field, "source"))
    return _mapping(field.mark, {**_picked(field, _CONSTRAINTS), "column": column, "computed_from": computed})


def _computed(source: Node | None) -> Node | None:
    if source is None:
        return None
    if (copied := child(source, "copyFrom")) is not None:
        transform = Scalar(copied.mark, "copy_field", "copy_field")
        origin = _mapping(source.mark, {"source": copied, "field": child(source, "field")})
        return _mapping(source.mark, {"transform": transform, "sources": Items(source.mark, (origin,))})
    if child(source, "transform") is None:
        return None
    return _mapping(
        source.mark, _picked(source, {"transform": ("transform",), "sources": ("inputs",), "args": ("args",)})
    )


def _derivation(node: Node | None) -> Node | None:
    if node is None:
        return None
    repeated = child(node, "repeatedFor")
    made = repeated and _mapping(repeated.mark, _picked(repeated, _REPEATED))
    return _mapping(node.mark, {**_picked(node, _DERIVATION), "repeated_for": made})


def _persistence(node: Node | None) -> Node | None:
    enabled = node and child(node, "enabled")
    if node is None or (isinstance(enabled, Scalar) and enabled.value is False):
        return None
    database = _mapping(node.mark, _picked(node, _DATABASE))
    return _mapping(node.mark, {"database": database, "primary_key": child(node, "primaryKey")})


def _each(node: Node | None, rewrite: Callable[[Node], Node]) -> Node | None:
    return Items(node.mark, tuple(map(rewrite, node.nodes))) if isinstance(node, Items) else None


def _picked(node: Node, paths: Mapping[str, Path]) -> dict[str, Node | None]:
    return {key: find(node, path) for key, path in paths.items()}


def _mapping(mark: Mark, nodes: Mapping[str, Node | None]) -> Node:
    return MappingNode(mark, {key: Entry(node.mark, node) for key, node in nodes.items() if node is not None})
