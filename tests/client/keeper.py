"""A server for the tests of ingesting: it keeps lines once for each key, and answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

# Instead of keeping and answering: break off before or after keeping, never answer, or answer this status.
Fault = Literal["cut", "keep and cut", "keep and hold"] | int


class Keeper:
    """What was sent to it. A line with `bad` in it is refused; those over `most` bytes at once are, too."""

    def __init__(self, faults: Sequence[Fault | None], most: int | None, most_errors: int) -> None:
        self.lines: list[str] = []
        self.bodies: list[bytes] = []
        self.heads: list[str] = []
        self.url = ""
        self._answers: dict[str, bytes] = {}
        self._faults = [*faults]
        self._most, self._most_errors = most, most_errors

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _head(reader):
                body = await reader.readexactly(int(_header(head, "content-length")))
                self.heads.append(head)
                self.bodies.append(body)
                if not await self._answer(_header(head, "idempotency-key"), body, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, key: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
        fault = self._faults.pop(0) if self._faults else None
        if fault == "cut":
            return False
        if self._most is not None and len(body) > self._most:
            fault = 413
        if isinstance(fault, int):
            _write(writer, fault, json.dumps({"status": "error", "message": f"said {fault}", "type": "x"}).encode())
            return True
        answer = self._kept(key, body)
        if fault == "keep and hold":
            await asyncio.Event().wait()
        if fault == "keep and cut":
            return False
        _write(writer, 207 if b"bad" in answer else 200, answer)
        await writer.drain()
        return True

    def _kept(self, key: str, body: bytes) -> bytes:
        if key not in self._answers:
            numbered = [(n, line) for n, line in enumerate(body.decode().splitlines(), 1) if line and line[0] != "#"]
            bad = [(number, line) for number, line in numbered if "bad" in line]
            self.lines += [line for _, line in numbered if "bad" not in line]
            self._answers[key] = json.dumps(self._report(len(numbered), bad)).encode()
        return self._answers[key]

    def _report(self, processed: int, bad: Sequence[tuple[int, str]]) -> dict[str, Any]:
        told = [{"line_number": n, "entity": None, "message": "it is bad", "line": line} for n, line in bad]
        told, omitted = told[: self._most_errors], told[self._most_errors :]
        counts = {"processed": processed, "inserted": processed - len(bad), "failed": len(bad)}
        return counts | {"duplicates": 0, "updated": 0, "errors": told, "errors_omitted": len(omitted)}


@asynccontextmanager
async def keeping(*faults: Fault | None, most: int | None = None, most_errors: int = 10_000) -> AsyncIterator[Keeper]:
    """A running keeper, with these faults at its first requests."""
    keeper = Keeper(faults, most, most_errors)
    async with await asyncio.start_server(keeper.serve, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        keeper.url = f"http://{host}:{port}"
        yield keeper


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


def _header(head: str, name: str) -> str:
    return head.lower().partition(f"\r\n{name}: ")[2].partition("\r\n")[0]


def _write(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nretry-after: 0\r\n\r\n"
    writer.write(head.encode() + body)
