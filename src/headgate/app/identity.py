"""Identity, wired: the guard and the tickets of a plan."""

import secrets
import time

from headgate.core.scopes import EVERYTHING
from headgate.errors import HeadgateError
from headgate.interface.identity.caller import Caller
from headgate.interface.identity.guard import CERTIFIED, Bearers, Guard
from headgate.interface.identity.keyring import Keyring
from headgate.interface.identity.tickets import Tickets
from headgate.interface.sites import Sites
from headgate.spec.plan import BearerPlan, Plan
from headgate.spec.values import is_loopback

_SECRET = secrets.token_bytes(32)  # of this process, so that tickets outlive a reload


def guard_of(plan: Plan) -> Guard | None:
    """Who asks clients who they are; None where nobody does."""
    auth = plan.service.auth
    if not auth.enabled:
        return None
    keyring = Keyring(auth.keys, auth.keys_file, time.monotonic)
    bearers = _bearers(auth.bearer, plan.connections.http.networks) if auth.bearer else None
    shown = [
        Caller(f"{CERTIFIED}{name}", scopes=EVERYTHING if EVERYTHING[0] in scopes else scopes)
        for name, scopes in auth.certificates.items()
    ]
    return Guard(keyring, header=auth.header, realm=plan.service.name, bearers=bearers, shown=shown)


def sites_of(plan: Plan) -> Sites:
    """By which names the gate is asked, and from which pages."""
    service = plan.service
    is_private = is_loopback(service.host) and not service.auth.enabled and not service.open
    return Sites(service.hosts, service.origins, trusting=not service.hosts and not is_private)


def tickets_of(plan: Plan) -> Tickets | None:
    """Who writes tickets, where anybody is asked for one."""
    auth = plan.service.auth
    return Tickets(auth.ticket_secret.encode() if auth.ticket_secret else _SECRET) if auth.enabled else None


def _bearers(plan: BearerPlan, networks: tuple[str, ...]) -> Bearers:
    try:
        from headgate.app.fetch import fetched  # with an HTTP client: only those who have an issuer load one
        from headgate.interface.identity.bearer import Bearers as Tokens
        from headgate.interface.identity.bearer import Expected
        from headgate.interface.identity.issuer import Issuer
    except ImportError:
        raise HeadgateError("service.auth.bearer needs more: pip install 'headgate[jwt]'") from None

    async def fetch(url: str) -> bytes:
        return await fetched(url, networks)

    issuer = Issuer(plan.issuer, plan.jwks_url, fetch, time.monotonic)
    expected = Expected(plan.audience, plan.algorithms, plan.scopes_claim, plan.name_claim, plan.leeway)
    return Tokens(issuer, expected, time.time)
