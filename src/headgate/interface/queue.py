"""Polling a queue over HTTP: what is taken is gone from it, once the client has it."""

import asyncio
from functools import partial

from headgate.core.position import Batch
from headgate.interface.exchange import Request, Response
from headgate.interface.poll import ANSWERS, PARAMETERS, Drained, Poll, answer_of, compress, patiently, read_poll
from headgate.interface.route import Route
from headgate.runtime.pickup import Parcel, Pickup
from headgate.runtime.stream import Stream


def queue_route(path: str, stream: Stream, pickup: Pickup, drained: Drained) -> Route:
    """`GET path`: take from this queue. `drained` returns when the gate shuts down and nobody may wait longer."""

    parameters = [parameter for parameter in PARAMETERS if parameter.name in ("limit", "wait")]

    async def poll(request: Request) -> Response:
        asked = read_poll(request, [parameter.name for parameter in parameters])
        return await _pick_up(request, asked, stream, pickup, drained)

    return Route(
        "GET",
        path,
        poll,
        stream=stream.name,
        summary=f"Read {stream.name}: what is read is gone",
        tag="streams",
        parameters=parameters,
        answers=ANSWERS,
    )


async def _pick_up(request: Request, asked: Poll, stream: Stream, pickup: Pickup, drained: Drained) -> Response:
    taking = asyncio.ensure_future(pickup.take(asked.limit, asked.wait))
    try:
        parcel = await patiently(request, asked, asyncio.shield(taking), drained)
    except BaseException:
        _abandon(taking, pickup)
        raise
    if parcel is None:
        _abandon(taking, pickup)
        return Response(204)
    response = answer_of(Batch(parcel.messages, parcel.position), stream.codec, asked.media)
    response.settle = partial(_settle, pickup, parcel)
    try:
        await compress(request, response)
    except BaseException:
        pickup.give_back(parcel)
        raise
    return response


async def _settle(pickup: Pickup, parcel: Parcel, delivered: bool) -> None:
    if delivered:
        await pickup.delivered(parcel)
    else:
        pickup.give_back(parcel)


def _abandon(taking: "asyncio.Task[Parcel]", pickup: Pickup) -> None:
    """The client or the gate goes: a parcel that was on its way to them is the next poller's."""

    def give_back(task: "asyncio.Task[Parcel]") -> None:
        if not task.cancelled() and task.exception() is None:
            pickup.give_back(task.result())

    taking.cancel()
    taking.add_done_callback(give_back)
