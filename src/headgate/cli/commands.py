"""`headgate command`: send commands to devices through a running gate, and see what became of them."""

import json
from typing import Annotated, Any

import typer

from headgate.cli.options import Json, key_of_environment
from headgate.errors import HeadgateError

app = typer.Typer(help="Send commands to devices, and see what became of them.", no_args_is_help=True)
DEFAULT_URL = "http://127.0.0.1:8000"
Url = Annotated[str, typer.Option("--url", help="The gate's address.")]
Path = Annotated[str, typer.Option("--path", help="Where its command interface is.")]
DEFAULT_PATH = "/api/v1/commands"
Id = Annotated[str, typer.Argument(help="The command's request_id.", show_default=False)]


def _client(url: str, path: str) -> Any:
    from headgate.client.commands import SyncCommandClient

    api_key, header = key_of_environment()
    return SyncCommandClient(url, api_key, api_key_header=header, path=path)


@app.command()
def send(
    device: Annotated[str, typer.Argument(help="The device.", show_default=False)],
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="The type of the command.", show_default=False)],
    payload: Annotated[str, typer.Argument(help="Its payload, as JSON.")] = "{}",
    protocol: Annotated[str, typer.Option(help="How the device is spoken to.")] = "mqtt",
    more: Annotated[
        list[str] | None, typer.Option("--set", help="Another field, as name=JSON; may be repeated.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Sent again with the same key, it is done once.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the device's answer.")] = 0.0,
    url: Url = DEFAULT_URL,
    path: Path = DEFAULT_PATH,
    as_json: Json = False,
) -> None:
    """Send a command. Exit 1 when it was not acknowledged, or failed within the time to wait."""
    command = {
        "device_id": device,
        "command_type": kind,
        "payload": _value("the payload", payload),
        "protocol": protocol,
    }
    with _client(url, path) as client:
        sent = client.send(command | dict(map(_field, more or [])), key=key)
        told = client.wait(sent.request_id, wait) if wait else {"status": sent.message, "request_id": sent.request_id}
    _show(told, as_json=as_json)
    if wait and told["status"] not in ("acknowledged", "delivered"):
        raise typer.Exit(1)


@app.command()
def status(
    request_id: Id,
    wait: Annotated[float, typer.Option(help="Seconds to wait until it is settled.")] = 0.0,
    url: Url = DEFAULT_URL,
    path: Path = DEFAULT_PATH,
    as_json: Json = False,
) -> None:
    """Show what became of a command."""
    with _client(url, path) as client:
        _show(client.wait(request_id, wait), as_json=as_json)


@app.command()
def cancel(request_id: Id, url: Url = DEFAULT_URL, path: Path = DEFAULT_PATH, as_json: Json = False) -> None:
    """Cancel a command that is not published yet."""
    with _client(url, path) as client:
        _show(client.cancel(request_id), as_json=as_json)


@app.command(name="list")
def list_(
    device: Annotated[str | None, typer.Option(help="Those for this device.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Those of this type.")] = None,
    state: Annotated[str | None, typer.Option("--status", help="Those in this state.")] = None,
    limit: Annotated[int, typer.Option("-n", help="How many, the newest first.")] = 20,
    url: Url = DEFAULT_URL,
    path: Path = DEFAULT_PATH,
    as_json: Json = False,
) -> None:
    """List commands."""
    asked = {"device_id": device, "command_type": kind, "status": state, "limit": str(limit)}
    with _client(url, path) as client:
        page = client.commands(**{name: value for name, value in asked.items() if value is not None})
    for row in page["commands"]:
        print(json.dumps(row) if as_json else _line(row))


def _show(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(told))
        return
    print(f"{told['request_id']}: {told['status']}{_detail(told)}")
    for step in told.get("history", ()):
        print(f"  {step['timestamp']}  {step['status']}{_detail(step)}")


def _line(row: dict[str, Any]) -> str:
    facts = (row["timestamp"], row["request_id"], row["device_id"], row["command_type"], row["status"])
    return "  ".join(facts) + _detail(row)


def _detail(told: dict[str, Any]) -> str:
    return f" ({told['detail']})" if told.get("detail") else ""


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"--set takes name=JSON, not {text!r}")
    return name, _value(name, value)


def _value(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise HeadgateError(f"{name} is not JSON: {error}") from None
