"""Bearer tokens: JWTs that an issuer signed, checked once and remembered until they expire."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact

from headgate.core.scopes import EVERYTHING, known_scopes
from headgate.interface.identity.caller import Caller
from headgate.interface.identity.guard import BadToken
from headgate.interface.identity.issuer import Issuer

LONGEST = 8192  # characters of a token
MOST = 10_000  # tokens that are remembered
AGAIN = 300.0  # seconds after which a token is checked again, at the latest
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token has to be."""

    audience: str
    algorithms: Sequence[str]
    scopes_claim: str = "scope"
    name_claim: str = "sub"
    leeway: float = 30.0  # seconds that clocks may differ


class Bearers:
    """Finds out who a token speaks for."""

    def __init__(self, issuer: Issuer, expected: Expected, now: Callable[[], float]) -> None:
        self._issuer, self._expected, self._now = issuer, expected, now
        self._seen: OrderedDict[bytes, tuple[Caller, float, int]] = OrderedDict()  # with its end and generation

    def __repr__(self) -> str:
        return f"<Bearers of {self._issuer.name}: {len(self._seen)} remembered>"

    async def find(self, token: bytes) -> Caller:
        """Whose token this is. Raises `BadToken`, or `Unavailable` when its issuer cannot be asked."""
        place = hashlib.sha256(token).digest()
        known = self._seen.get(place)
        if known is not None and known[1] > self._now() and known[2] == self._issuer.generation:
            return known[0]
        claims = await self._checked(token)
        caller = self._caller(claims)
        end = min(float(claims["exp"]) + self._expected.leeway, self._now() + AGAIN)
        self._seen[place] = caller, end, self._issuer.generation
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)
        return caller

    async def _checked(self, token: bytes) -> Mapping[str, Any]:
        if len(token) > LONGEST:
            raise BadToken(f"a token has at most {LONGEST} characters")
        try:
            header = extract_compact(token).headers()
        except (JoseError, ValueError, TypeError, KeyError):
            raise BadToken("this is no token") from None
        # Before anything of it is believed: which algorithm it is, the configuration says and not the token.
        if header.get("alg") not in self._expected.algorithms:
            raise BadToken(f"a token is signed with {' or '.join(self._expected.algorithms)} here")
        key_id = header.get("kid")
        keys = await self._issuer.keys(key_id if isinstance(key_id, str) else None)
        claims = self._verified(token, keys)
        self._check_claims(claims)
        return claims

    def _verified(self, token: bytes, keys: Sequence[dict[str, Any]]) -> Mapping[str, Any]:
        # One key after the other: which of several without a name it was, the library would guess.
        for key in keys:
            try:
                one = KeySet.import_key_set({"keys": [{**key, "kid": key.get("kid", "")}]})
                return jwt.decode(token, one.keys[0], algorithms=list(self._expected.algorithms)).claims
            except (JoseError, ValueError, TypeError, KeyError):
                continue
        raise BadToken("no key of the issuer has signed this token")

    def _check_claims(self, claims: Mapping[str, Any]) -> None:
        now, leeway = self._now(), self._expected.leeway
        if claims.get("iss") != self._issuer.name:
            raise BadToken("this token is of another issuer")
        audience = claims.get("aud")
        if self._expected.audience not in (audience if isinstance(audience, list) else [audience]):
            raise BadToken("this token is for another service")
        if _moment(claims, "exp", float("-inf")) <= now - leeway:
            raise BadToken("this token is expired, or does not say when it does")
        if max(_moment(claims, "nbf", 0.0), _moment(claims, "iat", 0.0)) > now + leeway:
            raise BadToken("this token is not good yet")

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        name = claims.get(self._expected.name_claim)
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
            raise BadToken(f"this token does not say who it speaks for ({self._expected.name_claim})")
        words = claims.get(self._expected.scopes_claim, ())
        scopes = known_scopes(words.split() if isinstance(words, str) else words if isinstance(words, list) else ())
        # The colon is in no name of a key: nobody is taken for another.
        return Caller(f"sub:{name}", scopes=EVERYTHING if EVERYTHING[0] in scopes else scopes)


def _moment(claims: Mapping[str, Any], name: str, otherwise: float) -> float:
    value = claims.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # nan is none
        raise BadToken(f"{name} of this token is no time")
    return float(value)
