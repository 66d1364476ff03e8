"""The page of reference, `docs/reference/configuration.md`, made of the grammar."""

import re
from collections.abc import Iterator
from typing import Any

from headgate.spec.builder import DEEPEST, MOST_NODES
from headgate.spec.describe import Grammar
from headgate.spec.schema import Document
from headgate.spec.yaml import LARGEST_FILE

_ONE_KIND = re.compile(r"\[kind: \w+\]")

_PREFACE = """\
# Configuration

This page is generated from the grammar; every key is here. A configuration is one YAML 1.2 document. A key that
is not known is an error, and so is a value of another type: `port: "8080"` is text, no integer. Each error names
file, line and column. `headgate schema` prints the same grammar as a JSON Schema, so that editors complete and
check the file.

## Values

- **Text** may be quoted. `no`, `on` and dates are text; `true`, `8080` and `1.0` are not, so quote them where text
  is wanted.
- **A duration** is a number of seconds, or text: `500ms`, `30s`, `5m`, `2h`, `7d`.
- **A key without a value** counts as left out.
- **A file** holds at most {file} KiB and {nodes} values, {depth} levels deep. Tags, merge keys (`<<`), duplicate keys
  and second documents are refused; anchors and aliases work.

## Environment and secrets

| written | becomes |
|---|---|
| `${{NAME}}` | the variable; an error when it is not set |
| `${{NAME:-default}}` | the variable, or the default when it is not set or empty |
| `${{file:/run/secrets/name}}` | what the file holds, without its last newline; the path counts from the YAML file |
| `$${{` | a plain `${{` |

They work in values, not in keys. What consists of nothing but one of them, unquoted, is a number or a boolean where
one is wanted: `port: ${{PORT:-8080}}`. Inside `{{ }}` and `[ ]` YAML needs quotes around them. A `.env` beside the
first file is read; the real environment wins. What they put in is never shown in a message.

`LOG_LEVEL` counts for `service.log.level` when no file gives it.

## Overlays

`-c base.yaml -c site.yaml` lays the second file over the first: mappings merge key by key, the later value wins.
Lists are replaced, but for `process_groups`, which merge by `name`, and `interfaces`, which merge by `path` (one
without a path by its `kind`; one of another kind replaces what was there).

To remove something that an earlier file says, set its key to `null`; in the two lists above, repeat its `name` or
`path` with `remove: true`.

```yaml
streams:
  assets: {{transport: kafka}}   # was memory: everything else about it stays
  scratch: null                # gone
runtime:
  web:
    interfaces:
      - {{path: /debug, remove: true}}
```
"""


def reference() -> str:
    """The whole page."""
    limits = {"file": LARGEST_FILE // 1024, "nodes": f"{MOST_NODES:,}", "depth": DEEPEST}
    schema = Document.model_json_schema(schema_generator=Grammar)
    sections = _sections(schema, schema["$defs"], "", set())
    return "\n".join([_PREFACE.format(**limits), *sections]).rstrip("\n") + "\n"


def _sections(model: dict[str, Any], models: dict[str, Any], path: str, told: set[str]) -> Iterator[str]:
    yield _section(model, models, path)
    for key, field in _ordered(model):
        for suffix, name in _below(field):
            if name not in told:  # what all interfaces have is told once
                told.add(name)
                above = _ONE_KIND.sub("[]", path)
                yield from _sections(models[name], models, f"{above}.{key}{suffix}".removeprefix("."), told)


def _section(model: dict[str, Any], models: dict[str, Any], path: str) -> str:
    rows = [_row(key, field, model, models) for key, field in _ordered(model)]
    heading = f"## `{path}`\n\n{model['description']}" if path else "## The document"
    return "\n".join([heading, "", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def _ordered(model: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The fields in the order of the model; what says which kind it is goes first, what they all have goes last."""
    return sorted(model["properties"].items(), key=lambda item: ("const" not in item[1], item[0] == "policies"))


def _row(key: str, field: dict[str, Any], model: dict[str, Any], models: dict[str, Any]) -> str:
    default = "*required*" if key in model.get("required", ()) else _default(field)
    # Where a field says what its model says, pydantic leaves it out.
    meaning = field.get("description") or models[_name(field)]["description"]
    cells = (f"`{key}`", _type(field), default, meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(field: dict[str, Any]) -> str:
    value = field.get("default", "")
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if value != "" else ""


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    if "enum" in field or "const" in field:
        choices = field.get("enum") or [field["const"]]
        return ", ".join(f"`{str(choice).lower() if isinstance(choice, bool) else choice}`" for choice in choices)
    if "oneOf" in field or "$ref" in field:
        return "mapping"
    return _named_type(field)


def _named_type(field: dict[str, Any]) -> str:
    kind = field.get("title") or field.get("type")
    if kind == "array":
        return f"list of {_type(field['items'])}"
    if kind == "object":
        return "mapping by name"
    if kind == "integer":
        return f"integer, {field['minimum']} to {field['maximum']}"
    return {"string": "text", "boolean": "`true`, `false`"}.get(str(kind), str(kind))


def _below(field: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The models that a field holds, each with what its path adds."""
    if "$ref" in field:
        yield "", _name(field)
    for inner in field.get("anyOf", ()):
        yield from _below(inner)
    if isinstance(by_name := field.get("additionalProperties"), dict) and "$ref" in by_name:
        yield ".<name>", _name(by_name)
    items = field.get("items", {})
    kinds = {name.rpartition("/")[2]: kind for kind, name in items.get("discriminator", {}).get("mapping", {}).items()}
    for choice in items.get("oneOf", ()):
        yield f"[kind: {kinds[_name(choice)]}]", _name(choice)
    if "$ref" in items:
        yield "[]", _name(items)


def _name(field: dict[str, Any]) -> str:
    return str(field["$ref"]).rpartition("/")[2]
