"""Which node runs in which group."""

from typing import Any

import pytest

from headgate.app.groups import crews, placement, rules_of
from headgate.core.frames import Kdf
from headgate.errors import NodeError
from headgate.runtime.node import _MARK, Declaration, node
from headgate.spec.plan import IpcPlan, Plan
from headgate.spec.resolve import plan_text


def declared(name: str, *, source: bool = False, **manners: Any) -> Declaration:
    async def made() -> Any:
        yield 1

    def handled(value: int) -> None: ...

    return getattr(node(name, input=() if source else "a", **manners)(made if source else handled), _MARK)


def plan(groups: str, mode: str = "process_supervisor") -> Plan:
    runtime = f"bootstrap: {{mode: {mode}}}, platform: {{process_groups: [{groups}]}}"
    return plan_text(f"streams: {{a: {{}}}}\nruntime: {{{runtime}}}\n")


@pytest.mark.parametrize(
    ("groups", "manners", "group"),
    [
        ("{name: x}", {}, None),
        ("{name: x}", {"group": "x"}, "x"),
        ("{name: x, nodes: [it]}", {}, "x"),
        ("{name: x, stages: [core]}", {"stage": "core"}, "x"),
        ("{name: x, stages: [core]}", {"stage": "edge"}, None),
        ("{name: x, tags: [slow, big]}", {"tags": ["big"]}, "x"),
        ("{name: x, tags: [big]}, {name: y, stages: [core]}", {"tags": "big", "stage": "core"}, "y"),
        ("{name: x, stages: [core]}, {name: y, nodes: [it]}", {"stage": "core"}, "y"),
        ("{name: x, nodes: [it]}, {name: y}", {"group": "y"}, "y"),
        ("{name: web, nodes: [it]}", {}, None),
    ],
)
def test_a_node_runs_where_the_strongest_word_puts_it(groups: str, manners: dict[str, Any], group: str | None) -> None:
    nodes = {"it": declared("it", **manners)}
    assert placement(plan(groups), nodes) == ({} if group is None else {"it": group})
    assert placement(plan(groups, mode="inline"), nodes) == {}


@pytest.mark.parametrize(
    ("groups", "manners", "message"),
    [
        ("{name: x}", {"group": "z"}, "names group 'z', but runtime.platform.process_groups has: x"),
        ("{name: x, nodes: [them]}", {}, "group 'x' names node 'them', but the discovery modules declare: it"),
        ("{name: x, stages: [s]}, {name: y, stages: [s]}", {"stage": "s"}, "is in a stage of two groups: 'x' and 'y'"),
        ("{name: x, nodes: [it]}, {name: y, nodes: [it]}", {}, "is a node of two groups: 'x' and 'y'"),
        ("{name: x}", {"source": True, "group": "x"}, "makes messages of its own"),
    ],
)
def test_what_cannot_be_placed_is_refused(groups: str, manners: dict[str, Any], message: str) -> None:
    with pytest.raises(NodeError, match=message):
        placement(plan(groups), {"it": declared("it", **manners)})


def test_a_source_with_a_stage_stays_in_the_gate() -> None:
    assert placement(plan("{name: x, stages: [s]}"), {"it": declared("it", source=True, stage="s")}) == {}


def test_groups_without_nodes_or_workers_have_no_crew() -> None:
    it = plan("{name: x, nodes: [it], workers: 3}, {name: y}, {name: z, nodes: [other], workers: 0}")
    nodes = {"it": declared("it"), "other": declared("other")}
    [crew] = crews(it, nodes, placement(it, nodes))
    assert (crew.duties.group, crew.workers, [task.node for task in crew.duties.tasks]) == ("x", 3, ["it"])


def test_a_secret_is_the_files_or_a_new_one() -> None:
    rules = rules_of(IpcPlan(secret="of the file, long", kdf="hkdf_sha256"))
    assert (rules.secret, rules.kdf) == (b"of the file, long", Kdf.HKDF_SHA256)
    assert rules_of(IpcPlan()).secret != rules_of(IpcPlan()).secret
