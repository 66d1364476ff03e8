"""Stalled subscribers and overload, in short: who keeps up goes on, who does not is cut, and nothing grows."""

from pathlib import Path

from tests.faults.life_campaign import CONFIG, overloaded, stalled_beside_live
from tests.gates.process import gate_process


async def test_those_who_read_nothing_are_cut_and_cost_the_others_nothing(tmp_path: Path) -> None:
    with gate_process(CONFIG, tmp_path) as gate:
        found = await stalled_beside_live(gate, seconds=2, live=30, rate=200)
        assert (found.cut, found.left) == (20, 30), f"{found}\n{gate.log()}"
        assert found.megabytes < 32, str(found)


async def test_more_than_can_be_done_is_answered_or_refused_in_good_form(tmp_path: Path) -> None:
    with gate_process(CONFIG.replace("pending_requests: 200", "pending_requests: 20"), tmp_path) as gate:
        found = await overloaded(gate, seconds=2, connections=500)
        assert found.accepted > 0, f"{found}\n{gate.log()}"
        assert found.wrong == 0, str(found)
        assert found.megabytes < 512, str(found)
