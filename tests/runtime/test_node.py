"""Nodes: how they are declared, found and wired."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.errors import NodeError
from headgate.runtime.node import discover, node, wired


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_nodes_are_found_in_the_modules_that_are_named(modules: Path) -> None:
    (modules / "plant_nodes.py").write_text(
        "from headgate import node\n"
        "@node(input='a', output=['b', 'c'])\ndef alarm(value): ...\n"
        "@node('ticker', output='a')\nasync def source():\n    yield 1\n"
        "def plain(value): ...\n"
    )
    found = discover(["plant_nodes"])
    assert sorted(found) == ["alarm", "ticker"]
    assert (found["alarm"].inputs, found["alarm"].outputs) == (("a",), ("b", "c"))
    assert found["ticker"].is_source


def test_a_node_that_is_imported_elsewhere_is_still_one_node(modules: Path) -> None:
    (modules / "plant_one.py").write_text("from headgate import node\n@node(input='a')\ndef alarm(value): ...\n")
    (modules / "plant_two.py").write_text("from plant_one import alarm\n")
    assert list(discover(["plant_one", "plant_two"])) == ["alarm"]


def test_two_nodes_of_one_name_are_refused(modules: Path) -> None:
    for name in ("plant_a", "plant_b"):
        (modules / f"{name}.py").write_text("from headgate import node\n@node(input='a')\ndef alarm(value): ...\n")
    with pytest.raises(NodeError, match=r"two nodes are named 'alarm': plant_a\.alarm and plant_b\.alarm"):
        discover(["plant_a", "plant_b"])


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(NodeError, match=r"module 'no_such_plant' of runtime\.discovery_modules is not found"):
        discover(["no_such_plant"])


def test_what_a_module_lacks_itself_is_not_mistaken_for_it(modules: Path) -> None:
    (modules / "plant_broken.py").write_text("import no_such_library\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        discover(["plant_broken"])


def test_the_file_may_wire_a_node_anew(modules: Path) -> None:
    (modules / "plant_wired.py").write_text(
        "from headgate import node\n@node(input='a', output='b')\ndef alarm(value): ...\n"
    )
    found = discover(["plant_wired"])
    nodes = wired(found, [("alarm", None, ("c", "d"))])
    assert (nodes["alarm"].inputs, nodes["alarm"].outputs) == (("a",), ("c", "d"))
    with pytest.raises(NodeError, match="the file wires node 'alrm', but the discovery modules declare: alarm"):
        wired(found, [("alrm", None, None)])


def test_a_function_that_could_never_run_is_refused() -> None:
    with pytest.raises(NodeError, match="takes 2 parameters"):
        node(input="a")(lambda one, two: None)
    with pytest.raises(NodeError, match="it would never run"):
        node(output="a")(lambda: None)
