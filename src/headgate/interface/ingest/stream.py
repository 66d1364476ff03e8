"""`POST {path}/stream`: messages come as long as they like, and events tell what became of each while they do."""

import asyncio
import time

from headgate.errors import HeadgateError, InvalidParameter
from headgate.interface.exchange import Event, Request, Response, Send
from headgate.interface.ingest.asked import Asked, asked
from headgate.interface.ingest.body import Body
from headgate.interface.ingest.forms import Form, form_of
from headgate.interface.ingest.load import PIECE_BYTES, Load
from headgate.interface.ingest.progress import Progress
from headgate.interface.sse import EVENTS
from headgate.runtime.ingest.intake import Intake
from headgate.runtime.ingest.settled import Settled
from headgate.runtime.ingest.upload import Upload
from headgate.runtime.tasks import cancel
from headgate.transport.bell import Bell


async def stream(request: Request, intake: Intake, whole_limit: int) -> Response:
    """Keep what comes. Raises a `HeadgateError` before anything is read."""
    wanted = asked(request, intake)
    if wanted.is_whole:
        raise InvalidParameter("a stream is kept as it comes; send what is to be one transaction to /batch")
    form = form_of(request.header("content-type"), wanted, intake)
    serving = _Stream(Body(request, form, intake, whole_limit), intake, wanted, form)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(content_type=EVENTS, headers=headers, live=serving.serve)


class _Stream:
    """One stream on its way in, and its events on their way out."""

    def __init__(self, body: Body, intake: Intake, wanted: Asked, form: Form) -> None:
        self._body, self._intake = body, intake
        self._load = Load(intake, wanted, form, self._tell)
        self._progress = Progress(self._load.report, every=wanted.every)
        self._news = Bell()
        self._over = False

    async def serve(self, _: Request, start: Event, send: Send) -> None:
        """Read and tell at the same time: a client may wait for neither of the two."""
        began = time.monotonic()
        taking = asyncio.create_task(self._take_in())
        await asyncio.sleep(0)  # the body is asked for first: a client may wait for that before it sends any of it
        await send(start)
        telling = asyncio.create_task(self._send(send))
        error: HeadgateError | None = None
        try:
            await taking
        except HeadgateError as failed:
            error = failed
        except BaseException:
            await cancel(taking)
            await cancel(telling)
            raise
        seconds = time.monotonic() - began
        self._intake.count_request(seconds)
        self._progress.end(round(seconds * 1000), error)
        self._over = True
        self._news.ring()
        await telling

    async def _take_in(self) -> None:
        async with self._load.upload() as upload:
            reading = asyncio.create_task(self._read(upload))
            try:
                await self._put(upload, reading)
            finally:
                await cancel(reading)
            await upload.settled()

    async def _read(self, upload: Upload) -> None:
        try:
            async for chunk in self._body.chunks:
                self._body.add(chunk)
                upload.change.ring()
                while self._body.cutter.size > 2 * PIECE_BYTES:
                    await upload.change.wait()
        finally:
            upload.change.ring()

    async def _put(self, upload: Upload, reading: asyncio.Task[None]) -> None:
        """Put what is there whenever there is nothing else to do: nobody waits for a piece to be full."""
        cutter = self._body.cutter
        while not reading.done():
            piece = cutter.take() if cutter.full or (upload.idle and cutter.size) else None
            if piece is None:
                await upload.change.wait()
            else:
                await upload.put(piece)
        reading.result()  # what it ended of, if not of the end
        if piece := cutter.take(final=True):
            await upload.put(piece)

    def _tell(self, settled: Settled) -> None:
        self._progress.tell(settled)
        self._news.ring()

    async def _send(self, send: Send) -> None:
        while True:
            is_last = self._over
            if events := self._progress.take():
                await send({"type": "http.response.body", "body": events, "more_body": not is_last})
            if is_last:
                return
            if not events:
                await self._news.wait()
