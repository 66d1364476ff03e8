"""The policies of a plan, put in front of what its interfaces serve."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from headgate.interface.policy import Limiter, Policy, Rate
from headgate.interface.route import Answer, Route
from headgate.interface.websocket import Door
from headgate.spec.plan import InterfacePlan, PoliciesPlan

_NONE = PoliciesPlan()


class Policies:
    """Keeps the policies of interfaces that stay as they are, with what was counted so far."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._made: dict[tuple[str, PoliciesPlan], Policy] = {}

    def routes(self, interfaces: Sequence[InterfacePlan], routes: Sequence[Route]) -> list[Route]:
        """The routes, those of interfaces with policies behind them. What stands below a path belongs to it."""
        plans = _by_path(interfaces)
        self._made = {key: policy for key, policy in self._made.items() if plans.get(key[0]) == key[1]}
        return [self._policed(route, _owner(route.path, plans), plans) for route in routes]

    def doors(self, interfaces: Sequence[InterfacePlan], doors: Mapping[str, Door]) -> dict[str, Door]:
        """The same for WebSockets."""
        plans = _by_path(interfaces)
        return {
            path: self._policy(path, plans[path]).around_door(door) if plans[path] != _NONE else door
            for path, door in doors.items()
        }

    def _policed(self, route: Route, owner: str | None, plans: Mapping[str, PoliciesPlan]) -> Route:
        if owner is None or plans[owner] == _NONE:
            return route
        told = {answer.status for answer in route.answers}
        more = [answer for answer in _answers(plans[owner]) if answer.status not in told]
        endpoint = self._policy(owner, plans[owner]).around(route.endpoint)
        return replace(route, endpoint=endpoint, answers=[*route.answers, *more])

    def _policy(self, path: str, plan: PoliciesPlan) -> Policy:
        if (path, plan) not in self._made:
            rate = plan.rate_limit
            counted = rate and Rate(rate.kind, rate.limit, rate.window, rate.per, frozenset(rate.methods))
            limiter = Limiter(counted, self._clock) if counted else None
            seconds = None if plan.timeout_ms is None else plan.timeout_ms / 1000
            self._made[path, plan] = Policy(limiter, plan.request_size_bytes, seconds)
        return self._made[path, plan]


def _by_path(interfaces: Sequence[InterfacePlan]) -> dict[str, PoliciesPlan]:
    return {i.path: _of(i) for i in interfaces if i.path is not None}


def _of(interface: InterfacePlan) -> PoliciesPlan:
    # Whoever waits for a reply knows for how long, and lets go of what waits.
    return replace(interface.policies, timeout_ms=None) if interface.kind == "http" else interface.policies


def _owner(path: str, plans: Mapping[str, PoliciesPlan]) -> str | None:
    """The longest of these paths that this one is, or lies below."""
    above = [owner for owner in plans if path == owner or path.startswith(f"{owner}/")]
    return max(above, key=len, default=None)


def _answers(plan: PoliciesPlan) -> list[Answer]:
    limited = [Answer(429, "More requests than there may be; `Retry-After` says when to come again.")]
    late = [Answer(504, "There was no answer in time.")]
    return [*(limited if plan.rate_limit else ()), *(late if plan.timeout_ms else ())]
