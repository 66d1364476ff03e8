"""Nodes: how they are declared, found and wired."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headgate.core.message import Message
from headgate.errors import NodeError
from headgate.runtime.call import Call, results
from headgate.runtime.node import _MARK, Manners, discover, node, wired


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


def test_what_a_module_lacks_is_not_mistaken_for_it_by_a_name_that_begins_alike(modules: Path) -> None:
    (modules / "plantation.py").write_text("import plant\n")
    with pytest.raises(ModuleNotFoundError, match="'plant'"):
        discover(["plantation"])


def test_a_module_in_a_package_that_is_not_there_is_named(modules: Path) -> None:
    (modules / "plant_package").mkdir()
    (modules / "plant_package/__init__.py").touch()
    for name in ("plant_package.nodes", "no_such_package.nodes"):
        with pytest.raises(NodeError, match=f"module '{name}' .* is not found"):
            discover([name])


def test_what_else_a_module_holds_is_left_alone(modules: Path) -> None:
    (modules / "plant_proxies.py").write_text(
        "from headgate import node\n"
        "class Proxy:\n"
        "    def __getattr__(self, name): raise RuntimeError('outside of a request')\n"
        "request = Proxy()\n"
        "from unittest.mock import MagicMock\n"
        "mock = MagicMock()\n"
        "@node(input='a')\ndef alarm(value): ...\n"
    )
    assert list(discover(["plant_proxies"])) == ["alarm"]


def test_the_file_may_wire_a_node_anew(modules: Path) -> None:
    (modules / "plant_wired.py").write_text(
        "from headgate import node\n@node(input='a', output='b')\ndef alarm(value): ...\n"
    )
    found = discover(["plant_wired"])
    nodes = wired(found, [("alarm", None, ("c", "d"), {"retries": 3})])
    assert (nodes["alarm"].inputs, nodes["alarm"].outputs) == (("a",), ("c", "d"))
    assert nodes["alarm"].manners == Manners(retries=3)
    with pytest.raises(NodeError, match="the file wires node 'alrm', but the discovery modules declare: alarm"):
        wired(found, [("alrm", None, None, {})])


def test_a_function_that_could_never_run_is_refused() -> None:
    with pytest.raises(NodeError, match="takes 2 parameters"):
        node(input="a")(lambda one, two: None)
    with pytest.raises(NodeError, match="it would never run"):
        node(output="a")(lambda: None)


def test_a_plain_generator_without_a_parameter_is_no_source() -> None:
    def count() -> Iterator[int]:
        yield 1

    with pytest.raises(NodeError, match="is no async generator: it would never run"):
        node(output="a")(count)


def test_an_annotation_that_cannot_be_read_is_refused_by_name() -> None:
    @node(input="a")
    def alarm(value: "NoSuchType") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(NodeError, match="annotations of node 'alarm' cannot be read: name 'NoSuchType'"):
        Call(getattr(alarm, _MARK))


class Reading(msgspec.Struct):
    celsius: float


def plain(value) -> None: ...  # type: ignore[no-untyped-def]
def anything(value: Any) -> None: ...
def reading(value: Reading) -> None: ...
def mapping(value: dict[str, float]) -> None: ...
def message(value: Message[Any]) -> None: ...
def bare_message(value: Message) -> None: ...  # type: ignore[type-arg]
def typed_message(value: Message[Reading]) -> None: ...
def batch(value: list[Message[Any]]) -> None: ...
def sequence(value: Sequence[Message[Any]]) -> None: ...
def typed_batch(value: list[Message[Reading]]) -> None: ...
def list_of_values(value: list[int]) -> None: ...
def bare_list(value: list) -> None: ...  # type: ignore[type-arg]


RAW: Message[Any] = Message(value={"celsius": 1.5}, key=b"k", timestamp=7)
READ = Message(value=Reading(1.5), key=b"k", timestamp=7)


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (plain, RAW.value),
        (anything, RAW.value),
        (reading, READ.value),
        (mapping, RAW.value),
        (message, RAW),
        (bare_message, RAW),
        (typed_message, READ),
        (batch, [RAW]),
        (sequence, [RAW]),
        (typed_batch, [READ]),
    ],
)
def test_a_function_gets_what_its_parameter_says(function: Callable[..., Any], argument: Any) -> None:
    call = Call(getattr(node(input="a")(function), _MARK))
    assert call.argument([call.converted(RAW)]) == argument


@pytest.mark.parametrize(("function", "value"), [(list_of_values, [1, 2]), (bare_list, [1, "x"])])
def test_a_list_of_anything_but_messages_is_a_value(function: Callable[..., Any], value: Any) -> None:
    call = Call(getattr(node(input="a")(function), _MARK))
    assert not call.takes_batch
    assert call.argument([call.converted(Message(value=value))]) == value


@pytest.mark.parametrize(("function", "value"), [(reading, 5), (typed_message, {}), (list_of_values, ["x"])])
def test_a_value_of_another_type_is_refused(function: Callable[..., Any], value: Any) -> None:
    call = Call(getattr(node(input="a")(function), _MARK))
    with pytest.raises(msgspec.ValidationError):
        call.converted(Message(value=value))


@pytest.mark.parametrize(
    ("returned", "published"),
    [(None, []), ([], []), (0, [0]), ([1, 2], [1, 2]), ((1, 2), [1, 2]), ({"a": 1}, [{"a": 1}])],
)
def test_what_is_returned_is_a_list_to_publish(returned: Any, published: list[Any]) -> None:
    assert results(returned) == published
