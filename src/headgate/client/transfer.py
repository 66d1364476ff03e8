"""The transfer: a file on its way to a destination, portion by portion, and what has become of it so far."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from headgate.client import checkpoint
from headgate.client.checkpoint import Checkpoint
from headgate.client.ingest import COUNTS, Destination, Settled
from headgate.client.portions import PORTION_BYTES, Portion
from headgate.client.refused import RefusedLines
from headgate.client.source import Form, Source
from headgate.errors import BodyTooLarge


class Transfer:
    """Takes portions of a source and has them kept. What was settled is noted in `state`, and not sent again."""

    def __init__(
        self,
        source: Source,
        destination: Destination,
        *,
        asked: Mapping[str, str],
        whole: bool = False,
        portion_bytes: int = PORTION_BYTES,
        state: Path | None = None,
        refused: Path | None = None,
    ) -> None:
        self._source, self._destination = source, destination
        self.state = state
        with source.reading():
            found = checkpoint.load(state, asked, source.file) if state else None
            self.begun = found is not None  # by an earlier run
            self.checkpoint = found or Checkpoint(asked)
            place = self.checkpoint
            self._portions = source.portions(
                whole=whole, offset=place.offset, first_line=place.line, most=portion_bytes
            )
        self.omitted = 0
        self._refused = RefusedLines(refused, source.form, place.refused_bytes) if refused else None

    def __repr__(self) -> str:
        return f"<Transfer of {self._source.name}: {self.counts['processed']} messages settled>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._refused is not None:
            self._refused.close()

    @property
    def counts(self) -> dict[str, int]:
        """What became of the messages that are settled."""
        return {name: self.checkpoint.counts.get(name, 0) for name in COUNTS}

    @property
    def place(self) -> str:
        """Where it goes on."""
        return self.named(self.checkpoint.line)

    def named(self, number: int) -> str:
        """What a line of the source is called."""
        return f"{'item' if self._source.form is Form.JSON else 'line'} {number}"

    def how_to_go_on(self) -> str:
        """What is to be done when it broke off; nothing to say when nothing was settled."""
        if not self.checkpoint.offset:
            return ""
        settled = f"; {self.counts['processed']:,} messages are settled"
        if self.state is None:
            return f"{settled}, and standard input cannot be read again"
        return f"{settled}, and the same command goes on from {self.place}"

    def take(self) -> Portion | None:
        """The next portion; None at the end."""
        with self._source.reading():
            return self._portions.take()

    async def keep(self, portion: Portion) -> Settled:
        """Have it kept; a part of it when all of it is too much for the destination."""
        self._save()  # before anything is sent: after a crash, the same run asks with the same keys
        while True:
            try:
                settled = await self._destination.keep(portion, portion.key(self.checkpoint.run))
            except BodyTooLarge:
                portion = self._portions.halve(portion)
            else:
                self._note(portion, settled)
                return settled

    def finish(self) -> None:
        """All is settled: there is nothing to go on with."""
        if self.state is not None:
            self.state.unlink(missing_ok=True)

    def _note(self, portion: Portion, settled: Settled) -> None:
        self.omitted += settled.omitted
        written = 0
        if self._refused is not None:
            written = self._refused.write(portion, settled.errors, self._portions.head)
        self.checkpoint = self.checkpoint.settled(portion, settled.counts, written)
        self._save()

    def _save(self) -> None:
        if self.state is not None:
            checkpoint.save(self.state, self.checkpoint)


def default_state(source: Source) -> Path | None:
    """Beside the file; standard input has none."""
    return source.path.with_name(f"{source.path.name}.headgate-progress") if source.path else None
