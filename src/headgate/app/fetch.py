"""Fetching: what an issuer of tokens has at a URL."""

import httpx2

from headgate.errors import Unavailable
from headgate.transport.http.guard import guarded_async, parse_networks

_PATIENCE = 5.0  # seconds for an issuer to answer
_LARGEST = 1024 * 1024


async def fetched(url: str, networks: tuple[str, ...]) -> bytes:
    """What is at a URL. No redirect is followed: it could lead anywhere."""
    transport = guarded_async(parse_networks(networks))
    content = b""
    try:
        async with (
            httpx2.AsyncClient(timeout=_PATIENCE, trust_env=False, transport=transport) as client,
            client.stream("GET", url, headers={"Accept": "application/json", "Accept-Encoding": "identity"}) as answer,
        ):
            if answer.status_code != httpx2.codes.OK:
                raise Unavailable(f"{url} answers {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > _LARGEST:
                    raise Unavailable(f"the answer of {url} is over {_LARGEST} bytes")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unavailable(f"{url} does not answer: {str(error) or type(error).__name__}") from None
    return content
