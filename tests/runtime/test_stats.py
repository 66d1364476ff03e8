"""The counters."""

from headgate.runtime.stats import WebStats


def test_requests_are_counted_by_route_method_and_status() -> None:
    stats = WebStats()
    stats.count("/a", "GET", 200, 0.5)
    stats.count("/a", "GET", 200, 0.25)
    stats.count("/a", "POST", 503, 1.0)
    assert stats.requests == {("/a", "GET", 200): 2, ("/a", "POST", 503): 1}
    assert stats.seconds == {"/a": 1.75}


def test_errors_are_counted_by_their_code() -> None:
    stats = WebStats()
    for code in ("codec", "codec", "draining"):
        stats.count_error(code)
    assert stats.errors == {"codec": 2, "draining": 1}
