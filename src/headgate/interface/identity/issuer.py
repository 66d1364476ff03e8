"""The issuer: whose tokens are good, and the keys that it signs them with."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from headgate.errors import Unavailable
from headgate.spec.values import is_trustworthy

logger = logging.getLogger("headgate.web")
Fetch = Callable[[str], Awaitable[bytes]]  # what is there; raises `Unavailable`
FRESH = 600.0  # seconds for which keys are taken for the only ones
PAUSE = 10.0  # seconds between two questions, whatever tokens come
STALE = 86_400.0  # seconds for which keys are good while the issuer is away
_DISCOVERY = "/.well-known/openid-configuration"


class Issuer:
    """Fetches keys when they are needed: the first time, for a key that is not known yet, and now and then."""

    def __init__(self, name: str, keys_url: str | None, fetch: Fetch, clock: Callable[[], float]) -> None:
        self.name = name
        self.generation = 0  # of the keys: a token that was good may be so no more in the next
        self._url, self._fetch, self._clock = keys_url, fetch, clock
        self._keys: list[dict[str, Any]] = []
        self._fetched = self._asked = float("-inf")
        self._asking = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Issuer {self.name}: {len(self._keys)} keys>"

    async def keys(self, key_id: str | None) -> list[dict[str, Any]]:
        """The keys that may have signed a token that names this one. May raise `Unavailable`."""
        if self._is_wanting(key_id):
            async with self._asking:
                if self._is_wanting(key_id):  # nobody asked meanwhile
                    await self._ask()
        if self._clock() - self._fetched > STALE:
            raise Unavailable(f"the keys of {self.name} cannot be fetched just now, so no token can be checked")
        return [key for key in self._keys if key_id is None or key.get("kid") in (key_id, None)]

    def _is_wanting(self, key_id: str | None) -> bool:
        now = self._clock()
        if now - self._asked < PAUSE:
            return False
        is_unknown = key_id is not None and all(key.get("kid") != key_id for key in self._keys)
        return is_unknown or now - self._fetched > FRESH

    async def _ask(self) -> None:
        self._asked = self._clock()
        try:
            found = await self._found()
        except Unavailable as error:
            logger.warning("the keys of the issuer stay as they were", extra={"reason": str(error)})
            return
        if found != self._keys:
            self.generation += 1
        self._keys, self._fetched = found, self._clock()

    async def _found(self) -> list[dict[str, Any]]:
        keys = _object(await self._fetch(self._url or await self._discovered())).get("keys")
        if not isinstance(keys, list):
            raise Unavailable(f"what {self.name} gives as its keys is no key set")
        # A secret in a set that everybody can read is none.
        return [key for key in keys if isinstance(key, dict) and key.get("kty") != "oct" and key.get("use") != "enc"]

    async def _discovered(self) -> str:
        told = _object(await self._fetch(self.name.rstrip("/") + _DISCOVERY))
        url = told.get("jwks_uri")
        if told.get("issuer") != self.name or not isinstance(url, str) or not is_trustworthy(url):
            raise Unavailable(f"what {self.name} says of itself is not about it, or names no place for its keys")
        return url


def _object(content: bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Unavailable("the issuer of tokens answers with something that is not JSON") from None
    if not isinstance(told, dict):
        raise Unavailable("the issuer of tokens answers with something that is no JSON object")
    return told
