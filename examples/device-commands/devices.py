"""Simulated devices: each acknowledges what it is told, but for the ones whose name says that they do not."""

from datetime import UTC, datetime
from typing import Any

from headgate import Message, node


@node(input="device_commands", output="device_feedback")
def device(command: Message[dict[str, Any]]) -> Message[dict[str, Any]] | None:
    told = command.value
    if "silent" in told["device_id"]:
        return None
    failed = "broken" in told["device_id"]
    answer = {
        "request_id": told["request_id"],
        "timestamp": datetime.now(UTC).isoformat(),
        "device_id": told["device_id"],
        "command_type": "feedback",
        "protocol": told["protocol"],
        "payload": {"status": "failed", "message": "the device is broken"} if failed else {"status": "acknowledged"},
    }
    return Message(value=answer, key=command.key)
