"""The router: exact paths, found by one look."""

from headgate.interface.exchange import Request, Response
from headgate.interface.route import Route, Router


async def nothing(_: Request) -> Response:
    return Response(204)


def route(method: str, path: str) -> Route:
    return Route(method, path, nothing, "", "test")


GET_A, POST_A, POST_B = route("GET", "/a"), route("POST", "/a"), route("POST", "/b")
ROUTER = Router([GET_A, POST_A, POST_B])


def test_a_route_is_found_by_method_and_path() -> None:
    assert ROUTER.find("GET", "/a") is GET_A
    assert ROUTER.find("POST", "/b") is POST_B


def test_head_is_served_by_get() -> None:
    assert ROUTER.find("HEAD", "/a") is GET_A
    assert ROUTER.find("HEAD", "/b") is None


def test_paths_are_exact() -> None:
    assert [ROUTER.find("GET", path) for path in ("/A", "/a/", "a", "/a/b", "")] == [None] * 5


def test_a_path_tells_its_methods() -> None:
    assert ROUTER.allowed("/a") == ["GET", "POST", "HEAD", "OPTIONS"]
    assert ROUTER.allowed("/b") == ["POST", "OPTIONS"]
    assert ROUTER.allowed("/c") == []


def test_a_router_knows_its_paths() -> None:
    assert ROUTER.resolve("/a") == ("/a", {})
    assert ROUTER.resolve("/c") is None
    assert repr(ROUTER) == "<Router: 3 routes>"


def test_names_in_a_path_stand_for_values() -> None:
    one, all_of, other = route("GET", "/a/{id}/status"), route("GET", "/a/{id}"), route("GET", "/a/batch")
    router = Router([one, all_of, other, route("DELETE", "/a/{id}")])
    assert router.resolve("/a/5/status") == ("/a/{id}/status", {"id": "5"})
    assert router.resolve("/a/batch") == ("/a/batch", {})  # what is said exactly goes first
    assert router.resolve("/a/{id}") == ("/a/{id}", {"id": "{id}"})
    assert [router.resolve(path) for path in ("/a//status", "/a/", "/b/5", "/a/5/status/6", "/a/5/state")] == [None] * 5
    assert router.find("GET", "/a/{id}/status") is one
    assert router.allowed("/a/{id}") == ["DELETE", "GET", "HEAD", "OPTIONS"]
