"""Publishing to another service by POST."""

import asyncio
from collections.abc import Sequence

import msgspec

from headgate.core.addresses import redacted
from headgate.core.message import Message
from headgate.core.position import Position, Receipt
from headgate.core.wire import BINARY, pack, pieces
from headgate.errors import PositionError, StreamClosed, StreamFull, TransportError, Unavailable
from headgate.transport.base import StreamSettings
from headgate.transport.http.peer import Peer

_PATIENCE = 60.0  # seconds for the peer to say that a batch is safe
_PIECE = 512 * 1024  # bytes in one request: well below a gate's limit of a megabyte


class HttpSink:
    """Publishes to the peer by POST."""

    def __init__(self, peer: Peer, stream: StreamSettings) -> None:
        self._peer = peer
        self._stream = stream
        self._order = asyncio.Lock()  # two requests at once could overtake each other
        self._closed = False

    async def send(self, batch: Sequence[Message[bytes]]) -> Receipt:
        receipts: list[Receipt] = []
        async with self._order:
            if self._closed:
                raise StreamClosed(f"stream {self._stream.name!r} is closed")
            for _, piece in pieces(batch, _PIECE):
                receipts.append(await self._post(pack(piece), len(piece)))
        return _joined(receipts)

    async def _post(self, body: bytes, count: int) -> Receipt:
        name, url = self._stream.name, self._stream.url
        status, _, answer = await self._peer.ask(
            "POST", url, stream=name, seconds=_PATIENCE, content=body, headers={"Content-Type": BINARY}
        )
        if status == 200:
            self._peer.well(name)
            return _receipt(answer, count)
        raise _refusal(status, answer, url)

    async def close(self) -> None:
        async with self._order:
            self._closed = True


def _joined(receipts: Sequence[Receipt]) -> Receipt:
    if len(receipts) == 1:
        return receipts[0]
    offsets = [offset for receipt in receipts for offset in receipt.offsets]
    partitions = [partition for receipt in receipts for partition in receipt.partitions or ()]
    return Receipt(receipts[-1].epoch if receipts else "none", offsets, partitions)


def _receipt(answer: bytes, count: int) -> Receipt:
    try:
        places = [Position.parse(text) for text in msgspec.json.decode(answer)["positions"]]
    except (msgspec.MsgspecError, KeyError, TypeError, PositionError):
        places = []
    if len(places) != count:
        raise TransportError(f"the peer acknowledged {len(places)} of {count} messages in words we cannot read")
    spots = [next(iter(place.offsets.items())) for place in places]
    return Receipt(places[0].epoch, [offset - 1 for _, offset in spots], [partition for partition, _ in spots])


def _refusal(status: int, answer: bytes, url: str) -> TransportError:
    reason = f"{redacted(url)} answered {status}: {answer[:200].decode('utf-8', 'replace')}"
    if status == 429:
        return StreamFull(reason)
    return Unavailable(reason) if status >= 500 else TransportError(reason)
