"""The grammar of an entity file: the classic dialect, which the other one is rewritten to."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from headgate.spec.entities.names import EntityName, FieldName, Prefix, Reference, TableName, TypeName
from headgate.spec.values import Lower, Option, Spec

MOST_FIELDS = 500
LONGEST_TEXT = 10_485_760  # characters, the most that PostgreSQL counts

EntityType = Annotated[Literal["root", "derived", "reference"], Lower]


def _source(value: object) -> object:
    return {"source": value} if isinstance(value, str) else value


def _parent(value: object) -> object:
    return {"entity": value} if isinstance(value, str) else value


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


TransformName = Literal[
    "copy_field",
    "json_get_string",
    "json_get_int",
    "json_get_float",
    "json_get_optional_string",
    "json_get_optional_float",
]


class SourceSpec(Spec):
    """Where the value of a computed field comes from."""

    source: EntityName = Field(description="A parent, by its name or its alias, or the item of `repeated_for`.")
    field: FieldName | None = Field(None, description="Its field.")


class ArgsSpec(Spec):
    """What a transform has to know besides."""

    key: str | None = Field(None, description="The key of the JSON object.")


class ComputedFromSpec(Spec):
    """How a field comes out of a parent's record."""

    transform: TransformName = Field(description="What is done with the source.")
    sources: list[Annotated[SourceSpec, BeforeValidator(_source)]] = Field(
        min_length=1, max_length=1, description="The one source."
    )
    args: ArgsSpec | None = Field(None, description="The key, for a transform that reads JSON.")


class FieldSpec(Spec):
    """One field."""

    name: FieldName = Field(
        description="What it is called in messages of JSON, in errors and, by default, in the table."
    )
    type: TypeName = Field(description="What it holds.")
    nullable: bool = Field(False, description="Whether it may be empty.")
    primary_key: bool = Field(False, description="Whether it belongs to the primary key.")
    index: bool = Field(False, description="Whether the table has an index of it.")
    column: FieldName | None = Field(None, description="Its column; default: its name.")
    max_length: int | None = Field(None, ge=1, le=LONGEST_TEXT, description="Of a text: characters at most.")
    min_length: int | None = Field(None, ge=1, le=LONGEST_TEXT, description="Of a text: characters at least.")
    enum: list[str] | None = Field(None, min_length=1, max_length=1000, description="Of a text: the only ones allowed.")
    precision: int | None = Field(None, ge=1, le=1000, description="Of a decimal: digits in all.")
    scale: int | None = Field(None, ge=0, le=1000, description="Of a decimal: digits after the point.")
    minimum: int | None = Field(None, ge=-(2**63), le=2**63 - 1, description="Of an integer: the smallest.")
    maximum: int | None = Field(None, ge=-(2**63), le=2**63 - 1, description="Of an integer: the largest.")
    constant: Option | None = Field(None, description="The value of every record; no message carries it.")
    computed_from: ComputedFromSpec | None = Field(None, description="How it comes out of a parent's record.")
    doc: str = Field("", description="What it means.")


class OverrideSpec(Spec):
    """A field as it is kept."""

    name: FieldName = Field(description="Which field.")
    type: TypeName | None = Field(None, description="What it holds there.")
    nullable: bool | None = Field(None, description="Whether it may be empty there.")


class ForeignKeySpec(Spec):
    """Fields that name a row of another table."""

    name: Annotated[list[FieldName], BeforeValidator(_one_or_more)] = Field(
        min_length=1, max_length=16, description="The field, or the fields."
    )
    references: Annotated[list[Reference], BeforeValidator(_one_or_more)] = Field(
        min_length=1, max_length=16, description="What they name, as `table.column`, in the same order."
    )


class DatabaseSpec(Spec):
    """The table."""

    conformant_table: TableName = Field(description="Its name.")
    conformant_id_column: FieldName | None = Field(None, description="Its primary key.")
    unicity_fields: list[FieldName] = Field(default_factory=list, description="No two rows have the same of these.")
    foreign_keys: list[ForeignKeySpec] = Field(default_factory=list, description="What must be in other tables.")


class PrimaryKeySpec(Spec):
    """The primary key."""

    name: FieldName = Field(description="The field, or the column that the database fills.")
    type: TypeName = Field("Integer", description="What it holds.")
    autogenerate: bool = Field(False, description="Whether the database counts it up.")


class PersistenceSpec(Spec):
    """Where records are kept."""

    database: DatabaseSpec | None = Field(None, description="The table; without one, nothing is kept.")
    primary_key: PrimaryKeySpec | None = Field(None, description="Its primary key.")
    field_overrides: list[OverrideSpec] = Field(
        default_factory=list, description="The fields that are kept and come in messages, in this order; default: all."
    )


class ParentSpec(Spec):
    """A parent, and what the sources of fields call it."""

    name: EntityName | None = Field(None, description="Its alias.")
    entity: EntityName | None = Field(None, description="Which entity it is.")
    type: EntityName | None = Field(None, description="The same.")
    doc: str = Field("", description="What it means.")


class RepeatedForSpec(Spec):
    """One record for each item of a list in the parent."""

    entity: EntityName = Field(description="The parent.")
    field: FieldName = Field(description="Its list of objects.")
    each_known_as: EntityName = Field(description="What the sources of fields call an item.")


Parents = list[Annotated[ParentSpec, BeforeValidator(_parent)]]


class DerivationSpec(Spec):
    """What an entity comes out of."""

    parent: EntityName | None = Field(None, description="Its parent.")
    parents: Parents = Field(default_factory=list, description="Its parents.")
    repeated_for: RepeatedForSpec | None = Field(None, description="The list that it is made of.")


class LayoutSpec(Spec):
    """One more layout of messages."""

    prefix: Prefix = Field(description="What its messages begin with.")
    fields: list[FieldName] = Field(min_length=1, max_length=MOST_FIELDS, description="Their fields, in order.")


class EntitySpec(Spec):
    """A record layout."""

    name: EntityName = Field(description="What it is called.")
    type: EntityType | None = Field(None, description="`root`, `derived` or `reference`.")
    source_type: EntityType | None = Field(None, description="The same.")
    prefix: Prefix | None = Field(None, description="What its messages begin with; default: the name's first letter.")
    extends: EntityName | None = Field(None, description="The entity whose fields and keys it has, too.")
    abstract: bool = Field(False, description="Whether it is there for others to extend, and has no records.")
    parent: EntityName | None = Field(None, description="The entity that it comes out of.")
    parents: Parents = Field(default_factory=list, description="Those that it comes out of.")
    repeated_for: RepeatedForSpec | None = Field(None, description="The list that it is made of.")
    derivation: DerivationSpec | None = Field(None, description="The last three, in a block of their own.")
    fields: list[FieldSpec] = Field(default_factory=list, max_length=MOST_FIELDS, description="Its fields, in order.")
    layouts: list[LayoutSpec] = Field(
        default_factory=list, max_length=100, description="Other layouts of its messages."
    )
    persistence: PersistenceSpec | None = Field(None, description="Where it is kept.")
    doc: str = Field("", description="What it means.")


class EntityFile(Spec):
    """A file with one entity."""

    entity: EntitySpec = Field(description="The entity.")
