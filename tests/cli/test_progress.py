"""Progress: what the bar says, and the lines where there is no terminal."""

import sys

import pytest

from headgate.cli.progress import Progress


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_counts_and_says_how_fast() -> None:
    clock = Clock()
    progress = Progress("messages", clock=clock)
    clock.now += 2
    progress.add(3000)
    assert progress.line(clock()) == "3,000 messages  1,500/s"


def test_it_knows_its_share_by_count_or_by_what_it_is_told() -> None:
    clock = Clock()
    progress = Progress("rows", 4000, clock=clock)
    clock.now += 10
    progress.add(1000, bad=3)
    assert progress.line(clock()) == " 25%  1,000 rows  100/s  3 bad  0:30 left"
    progress.share = 0.01
    assert progress.line(clock()).endswith("16:30 left")
    progress.share = 0.001
    assert progress.line(clock()).endswith("2:46:30 left")
    progress.share = 1.0
    assert progress.line(clock()) == "100%  1,000 rows  100/s  3 bad"


def test_what_was_done_before_makes_it_no_faster() -> None:
    clock = Clock()
    progress = Progress("rows", clock=clock)
    progress.begin_at(0.5)
    assert progress.line(clock()) == " 50%  0 rows  0/s"
    clock.now += 10
    progress.share = 0.75
    assert progress.line(clock()).endswith("0:10 left")


@pytest.mark.parametrize(("every", "lines"), [(None, 0), (10.0, 3)])
def test_where_nobody_watches_it_prints_a_line_now_and_then(
    every: float | None, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    with Progress("rows", every=every, clock=clock) as progress:
        for _ in range(35):
            clock.now += 1
            progress.add(10)
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_a_bar_is_drawn_where_a_person_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    clock = Clock()
    with Progress("rows", 10, clock=clock) as progress:
        clock.now += 1
        progress.add(5)
        progress.say("line 3: bad")
    told = capsys.readouterr().err
    assert "\r" + "█" * 15 in told
    assert "\rline 3: bad\x1b[K\n" in told
    assert told.endswith("\n")
