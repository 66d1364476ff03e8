"""`headgate config`: the settings of a running service."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.cli.options import DEFAULT_URL, Json, Url, key_headers, key_of_environment

if TYPE_CHECKING:
    from headgate.client.config import ConfigClient

app = typer.Typer(help="Look at the settings of a running service, and change them.", no_args_is_help=True)
Key = Annotated[str, typer.Argument(help="source/service/name; * is every source or service.", show_default=False)]
Wanted = Annotated[str | None, typer.Argument(help="Only this key, with its history.", show_default=False)]
Value = Annotated[str, typer.Argument(help="JSON; what is none is taken as text.", show_default=False)]
Version = Annotated[int, typer.Argument(min=1, help="The version whose value it gets.", show_default=False)]
IfVersion = Annotated[int | None, typer.Option(min=0, help="Only if it has this version; 0: if it is not set.")]
Path = Annotated[str, typer.Option("--path", help="Where the service has them.")]
Limit = Annotated[int | None, typer.Option("--limit", "-n", min=1, help="End after so many changes.")]


@app.command()
def get(key: Wanted = None, url: Url = DEFAULT_URL, path: Path = "/config", as_json: Json = False) -> None:
    """Show all settings, or one with what it was before."""
    if key is not None:
        told = _ask(url, path, lambda client: client.one(key))
        print(_json(told) if as_json else _history(told))
        return
    values = _ask(url, path, lambda client: client.values())
    if as_json:
        print(_json(values))
    else:
        for name, value in values.items():
            print(_line(name, value))


@app.command("set")
def set_(
    key: Key,
    value: Value,
    if_version: IfVersion = None,
    url: Url = DEFAULT_URL,
    path: Path = "/config",
    as_json: Json = False,
) -> None:
    """Set one. Exit 1 when the service refuses it."""
    _change(url, path, as_json, lambda client: client.set(key, _value(value), if_version=if_version))


@app.command()
def unset(key: Key, url: Url = DEFAULT_URL, path: Path = "/config", as_json: Json = False) -> None:
    """Take one away, so that the default counts again."""
    _change(url, path, as_json, lambda client: client.unset(key))


@app.command()
def restore(
    key: Key,
    version: Version,
    if_version: IfVersion = None,
    url: Url = DEFAULT_URL,
    path: Path = "/config",
    as_json: Json = False,
) -> None:
    """Give one the value again that it had at a version."""
    _change(url, path, as_json, lambda client: client.restore(key, version, if_version=if_version))


@app.command()
def watch(url: Url = DEFAULT_URL, path: Path = "/config", limit: Limit = None, as_json: Json = False) -> None:
    """Print all settings, and each that changes from then on."""
    asyncio.run(_watch(url, path, limit, as_json))


async def _watch(url: str, path: str, limit: int | None, as_json: bool) -> None:
    from headgate.client.config import ConfigClient

    shown: dict[str, Any] = {}
    count = 0
    async with (
        ConfigClient(url, path=path, headers=key_headers(*key_of_environment())) as client,
        aclosing(client.changes()) as changes,
    ):
        async for values in changes:
            for key in sorted(shown.keys() | values.keys()):
                if key in values and (key not in shown or shown[key] != values[key]):
                    print(_json({"key": key, "value": values[key]}) if as_json else _line(key, values[key]), flush=True)
                elif key not in values:
                    print(_json({"key": key, "removed": True}) if as_json else f"{key} is not set any more", flush=True)
            shown, count = values, count + 1
            if count == limit:
                return


def _ask(url: str, path: str, question: "Callable[[ConfigClient], Awaitable[dict[str, Any]]]") -> dict[str, Any]:
    from headgate.client.config import ConfigClient

    async def ask() -> dict[str, Any]:
        async with ConfigClient(url, path=path, headers=key_headers(*key_of_environment())) as client:
            return await question(client)

    return asyncio.run(ask())


def _change(url: str, path: str, as_json: bool, change: "Callable[[ConfigClient], Awaitable[dict[str, Any]]]") -> None:
    ack = _ask(url, path, change)
    print(_json(ack) if as_json else f"{ack['device']}: {ack['response']}, {ack['message']}")


def _value(text: str) -> Any:
    from headgate.core.codec import decode_json
    from headgate.errors import CodecError

    try:
        return decode_json(text.encode("utf-8", "surrogateescape"))
    except CodecError:
        return text


def _json(value: Any) -> str:
    from headgate.core.codec import json_encode

    return json_encode(value).decode()


def _line(key: str, value: Any) -> str:
    return f"{key} = {_json(value)}"


def _history(told: dict[str, Any]) -> str:
    lines = [_line(told["key"], told["value"])]
    for entry in told["history"]:
        moment = datetime.fromtimestamp(entry["timestamp"] / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        value = "removed" if entry.get("removed") else _json(entry["value"])
        lines.append(f"  version {entry['version']}  {moment}  {value}")
    return "\n".join(lines)
