"""The pages behind the hot routes: FastAPI with its documentation, loaded when somebody first asks for it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from headgate.interface.describe import openapi_paths
from headgate.interface.exchange import App, Receive, Scope, Send, refusal
from headgate.interface.route import Route


class Pages:
    """An ASGI app that becomes a FastAPI app at its first request.

    FastAPI takes longer to import than everything else together, and a gate that only moves messages never
    needs it.
    """

    def __init__(self, title: str, version: str, routes: Callable[[], Sequence[Route]]) -> None:
        self._title = title
        self._version = version
        self._routes = routes
        self._loading = asyncio.Lock()
        self._app: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._loading:
            if self._app is None:
                self._app = await asyncio.to_thread(self._load)
        await self._app(scope, receive, send)

    def _load(self) -> App:
        from fastapi import FastAPI
        from starlette.exceptions import HTTPException

        app = FastAPI(title=self._title, version=self._version)
        own = app.openapi

        def openapi() -> dict[str, Any]:
            document = dict(own())
            document["paths"] = {**openapi_paths(self._routes()), **document.get("paths", {})}
            return document

        app.openapi = openapi  # type: ignore[method-assign]
        app.add_exception_handler(HTTPException, _render)
        return app


async def _render(request: Any, error: Any) -> Any:
    """FastAPI's own refusals, in the form that all errors have here."""
    from fastapi import Response

    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    message = f"nothing is served at {request.url.path[:200]}" if error.status_code == 404 else error.detail
    answer = refusal(error.status_code, message, code, request.headers.get("accept"))
    return Response(answer.body, answer.status, error.headers, answer.content_type)
