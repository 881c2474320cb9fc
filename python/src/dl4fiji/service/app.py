"""The web application: routes, pages and errors behind the guard."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from dl4fiji import __version__
from dl4fiji.errors import DL4FijiError
from dl4fiji.service import api, pages, problems
from dl4fiji.service.context import Context
from dl4fiji.service.guard import Guard

_DESCRIPTION = (
    "Train microscopy networks, predict and export, on this computer. Send `Authorization: Bearer <token>`; "
    "the token and the address are in the files `token` and `service.json` of DL4Fiji's folder."
)
_NO_TELEMETRY: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
"""Nothing about images, names or paths leaves this computer, whatever the environment asks of FastAPI."""


def create_app(context: Context) -> ASGIApp:
    """Return the application of a service."""
    app = FastAPI(
        title="DL4Fiji",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )
    app.state.context = context
    app.include_router(api.router)
    app.include_router(pages.router, include_in_schema=False)
    _describe_token(app)

    def tell(request: Request, error: DL4FijiError, headers: dict[str, str] | None = None) -> Response:
        page = problems.wants_page(request.url.path, request.headers.get("accept", ""))
        return problems.respond(error, headers or {}, page=page)

    @app.exception_handler(DL4FijiError)
    async def known(request: Request, error: DL4FijiError) -> Response:
        return tell(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return tell(request, problems.from_validation(error.errors()))

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        told = problems.from_status(error.status_code, request.method, request.url.path, str(error.detail))
        return tell(request, told, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        told = DL4FijiError(
            f"The service failed unexpectedly ({type(error).__name__}): see {context.home.service_log}."
        )
        return tell(request, told)

    return Guard(app, context.credentials, context.port)


def _describe_token(app: FastAPI) -> None:
    """Say in the OpenAPI description that a token is needed."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        schema = make()
        schema["components"].setdefault("securitySchemes", {})["token"] = {"type": "http", "scheme": "bearer"}
        schema["security"] = [{"token": []}]
        schema["paths"]["/api/v1/health"]["get"]["security"] = []
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
