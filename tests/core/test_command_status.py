"""Which state follows on which, and what devices say."""

from typing import Any

import pytest

from headgate.core.command_status import Status, answered, history_of, line_of


def test_some_states_are_the_last_word() -> None:
    assert [status.word for status in Status if status.is_final] == [
        "failed",
        "expired",
        "acknowledged",
        "failed",
        "cancelled",
    ]


@pytest.mark.parametrize(
    ("status", "payload", "meaning"),
    [
        ("ACK", None, Status.ACKNOWLEDGED),
        (None, {"status": "Delivered"}, Status.DELIVERED),
        (None, {"status": "timed out"}, Status.FAILED),
        (None, {"result": "nack"}, Status.FAILED),
        ("expired", {}, Status.EXPIRED),
        (None, {"success": False}, Status.FAILED),
        (None, {"error": "no such register"}, Status.FAILED),
        (None, {"status": "whatever"}, Status.ACKNOWLEDGED),
        (None, {}, Status.ACKNOWLEDGED),
        (None, None, Status.ACKNOWLEDGED),
    ],
)
def test_an_answer_is_understood(status: str | None, payload: dict[str, Any] | None, meaning: Status) -> None:
    assert answered(status, payload) is meaning


def test_a_history_is_told_in_the_order_of_time() -> None:
    text = line_of(Status.ACKNOWLEDGED, 3.0, "yes\n") + line_of(Status.PUBLISHED, 1.0) + line_of(Status.ACCEPTED, 1.0)
    assert [(step.status, step.at, step.detail) for step in history_of(text)] == [
        ("accepted", 1.0, ""),
        ("published", 1.0, ""),
        ("acknowledged", 3.0, "yes\n"),
    ]
    odd = line_of(Status.FAILED, 2.0, "a\u2028b\u0085c\x1cd\r\ne")
    assert [step.detail for step in history_of(odd + odd)] == ["a\u2028b\u0085c\x1cd\r\ne"] * 2
    assert len(line_of(Status.FAILED, 1.0, "x" * 9999)) < 600
