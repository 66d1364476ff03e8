"""A client of a service's settings: look, set, and hear of changes."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Self

import httpx2
import msgspec

from headgate.errors import (
    BadRequest,
    HeadgateError,
    NotFound,
    Refused,
    SettingConflict,
    SettingRefused,
    Unauthorized,
    Unavailable,
)

logger = logging.getLogger("headgate.client")
_WAIT_SECONDS = 30
_RETRY_SECONDS = 0.5
_KINDS: Mapping[int, type[HeadgateError]] = {
    401: Unauthorized,
    403: Refused,
    404: NotFound,
    409: SettingConflict,
    422: SettingRefused,
}


class ConfigClient:
    """Talks to one config interface. Use it as `async with ConfigClient(url) as config`."""

    def __init__(self, url: str, *, path: str = "/config", headers: Mapping[str, str] | None = None) -> None:
        self._url = url.rstrip("/") + path
        self._http = httpx2.AsyncClient(timeout=10.0, headers=dict(headers or {}), trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def values(self) -> dict[str, Any]:
        """All settings, by key."""
        values: dict[str, Any] = (await self._ask("GET"))["values"]
        return values

    async def one(self, key: str) -> dict[str, Any]:
        """One setting: `value`, `version`, and its `history`. Raises `NotFound` when it is not set."""
        return await self._ask("GET", params={"key": key})

    async def set(self, key: str, value: Any, *, if_version: int | None = None) -> dict[str, Any]:
        """Set one, and return its acknowledgement. May raise `SettingRefused` or `SettingConflict`."""
        return await self._change({"key": key, "value": value}, if_version)

    async def restore(self, key: str, version: int, *, if_version: int | None = None) -> dict[str, Any]:
        """Give a setting the value again that it had at a version."""
        return await self._change({"key": key, "restore": version}, if_version)

    async def unset(self, key: str) -> dict[str, Any]:
        """Take a setting away."""
        return await self._ask("DELETE", params={"key": key})

    async def changes(self) -> AsyncGenerator[dict[str, Any], None]:
        """All settings by key, now and each time that one is another. Goes on after a cut."""
        shown, asked, told = None, dict[str, str](), ""
        while True:
            try:
                answer = await self._ask("GET", params=asked, seconds=_WAIT_SECONDS + 10.0)
            except Unavailable as error:
                if str(error) != told:
                    logger.warning("%s; trying again", error)
                told = str(error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            told, asked = "", {"after": answer["position"], "wait": str(_WAIT_SECONDS)}
            if answer["values"] != shown:
                shown = answer["values"]
                yield shown

    async def _change(self, setting: dict[str, Any], if_version: int | None) -> dict[str, Any]:
        if if_version is not None:
            setting["if_version"] = if_version
        return await self._ask("POST", json=setting)

    async def _ask(self, method: str, *, seconds: float = 10.0, **request: Any) -> dict[str, Any]:
        try:
            answer = await self._http.request(method, self._url, timeout=seconds, **request)
            content = msgspec.json.decode(answer.content, type=dict[str, Any])
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(f"no gate answers at {self._url}: {str(error) or type(error).__name__}") from None
        except msgspec.MsgspecError:
            raise Unavailable(f"{self._url} answered {answer.status_code} and no JSON object") from None
        if answer.is_success:
            return content
        kind = _KINDS.get(answer.status_code, Unavailable if answer.status_code >= 500 else BadRequest)
        raise kind(str(content.get("error") or f"{self._url} answered {answer.status_code}"))
