"""Commands as they are usually pushed: FastAPI, a pydantic model, and one await for each command.

`KAFKA=127.0.0.1:9092 TOPIC=commands uvicorn commands_seed:app`.
"""

import asyncio
import json
import logging
import os
import threading
import uuid
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Producer
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

logger = logging.getLogger("seed")
app = FastAPI()


class CommandRequest(BaseModel):
    """A command."""

    device_id: str
    command_type: str
    payload: dict[str, Any]
    protocol: str
    parser_script_ref: str | None = None
    metadata: dict[str, Any] | None = None
    qos: int | None = None
    retain: bool | None = None
    confirmable: bool | None = None


class CommandMessage(CommandRequest):
    """A command on the topic."""

    request_id: str
    timestamp: datetime


class CommandResponse(BaseModel):
    """What became of it."""

    success: bool
    request_id: str
    message: str
    timestamp: datetime


class BatchCommandRequest(BaseModel):
    """Commands."""

    commands: list[CommandRequest]


class BatchCommandResponse(BaseModel):
    """What became of them."""

    total_commands: int
    successful: int
    failed: int
    results: list[CommandResponse]


class PusherService:
    """Pushes commands, each acknowledged by all."""

    def __init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": os.environ["KAFKA"], "acks": "all", "enable.idempotence": True})
        threading.Thread(target=self._poll, daemon=True).start()

    def _poll(self) -> None:
        while True:
            self._producer.poll(0.1)

    async def push_command(self, request: CommandRequest) -> CommandResponse:
        """Push one."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def delivered(error: object, _: object) -> None:
            outcome = done.set_result if error is None else done.set_exception
            loop.call_soon_threadsafe(outcome, None if error is None else RuntimeError(str(error)))  # type: ignore[arg-type]

        message = CommandMessage(**request.model_dump(), request_id=str(uuid.uuid4()), timestamp=datetime.now(UTC))
        value = json.dumps(message.model_dump(mode="json")).encode()
        self._producer.produce(os.environ["TOPIC"], value, request.device_id.encode(), on_delivery=delivered)
        await done
        logger.info("Command processed", extra={"device_id": message.device_id})
        return CommandResponse(
            success=True, request_id=message.request_id, message="Command pushed", timestamp=message.timestamp
        )


service = PusherService()


@app.post("/api/v1/commands", response_model=CommandResponse)
async def push_command(command: CommandRequest) -> CommandResponse:
    """Push a command."""
    try:
        return await service.push_command(command)
    except Exception as error:
        raise HTTPException(status_code=500, detail=str(error)) from error


@app.post("/api/v1/commands/batch", response_model=BatchCommandResponse)
async def push_commands_batch(batch: BatchCommandRequest) -> BatchCommandResponse:
    """Push commands."""
    results = [await service.push_command(command) for command in batch.commands]
    return BatchCommandResponse(total_commands=len(results), successful=len(results), failed=0, results=results)
