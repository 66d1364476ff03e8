"""The dead letters of nodes: messages that were not handled, as they came, with the reason."""

from msgspec.structs import replace

from headgate.core.message import UNNAMED, Message

LONGEST_REASON = 2000


def letter(message: Message[bytes], *, node: str, stream: str, attempts: int, reason: str) -> Message[bytes]:
    """The message as a dead letter: its value, key, time and headers, and behind them what happened."""
    facts = {
        "reason": reason[:LONGEST_REASON],
        "node": node,
        "stream": stream,
        "position": f"{message.partition}-{message.offset}",
        "attempts": str(attempts),
    }
    headers = tuple((name, text.encode("utf-8", "backslashreplace")) for name, text in facts.items())
    return replace(message, stream=UNNAMED, headers=(*message.headers, *headers), partition=0, offset=-1)
