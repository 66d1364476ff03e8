"""Answers that are remembered: whoever asks again with the same key gets the first one, from any gate, at any time."""

import json
from dataclasses import dataclass

from headgate.errors import KeyReused
from headgate.store.base import Connection

KEEP_SECONDS = 86_400.0
_BEGUN = b"begun"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, to which body."""

    status: int
    body: bytes
    fingerprint: str


class Memory:
    """The answers of one interface. Each is kept in the transaction of what it tells of."""

    def __init__(self, scope: str) -> None:
        self._scope = f"answers:{scope}"

    def begin(self, session: Connection, key: str) -> Answer | None:
        """Claim a key; or the answer that it has. Waits for another who is about to answer."""
        while not session.take_note(self._scope, key, _BEGUN, None):
            if (kept := session.note(self._scope, key)) is not None:
                return _answer(kept)
        return None

    def end(self, session: Connection, key: str, answer: Answer) -> None:
        """Remember what was answered; it counts when the transaction is committed."""
        facts = {"status": answer.status, "body": answer.body.decode(), "fingerprint": answer.fingerprint}
        session.take_note(self._scope, key, json.dumps(facts).encode(), _BEGUN)

    def forget(self, session: Connection) -> int:
        """Let go of the answers that are older than a day."""
        return session.forget_notes(self._scope, KEEP_SECONDS)


def same(answer: Answer, fingerprint: str) -> Answer:
    """The answer, if it was for the same body. Raises a `KeyReused` when not."""
    if answer.fingerprint != fingerprint:
        raise KeyReused("this Idempotency-Key was used for another request; use a new key for each")
    return answer


def _answer(kept: bytes) -> Answer:
    facts = json.loads(kept)
    return Answer(facts["status"], facts["body"].encode(), facts["fingerprint"])
