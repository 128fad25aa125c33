"""The gateway as an ASGI application: its routes, and what starts and ends with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tbgen.server.gateway import hugging_face, openai_api, rerank_api, tei_api, typed_api
from tbgen.server.gateway.body import json_response
from tbgen.server.gateway.endpoint import Counters, endpoint
from tbgen.server.gateway.gateway import Gateway
from tbgen.server.gateway.no_answer import every_shape, openai_shape, tei_shape
from tbgen.server.gateway.openapi import docs_page, openapi, page
from tbgen.server.gateway.settings import GatewaySettings


def application(settings: GatewaySettings) -> Starlette:
    """The application of one gateway."""

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        app.state.gateway = Gateway(settings)
        app.state.counters = Counters()
        try:
            yield
        finally:
            await app.state.gateway.close()

    pages = Middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["retry-after"],
    )
    return Starlette(
        routes=_routes(),
        lifespan=running,
        exception_handlers={HTTPException: _no_such_page, Exception: _fault},
        middleware=[pages] if settings.origins else [],
    )


def _routes() -> list[Route]:
    return [
        Route("/", page),
        endpoint("/", hugging_face.of_chosen, tei_shape),
        Route("/docs", docs_page),
        Route("/health", _health),
        endpoint("/openapi.json", openapi, tei_shape, method="GET"),
        endpoint("/metrics", _metrics, tei_shape, method="GET"),
        endpoint("/v1/models", openai_api.models, openai_shape, method="GET"),
        endpoint("/v1/models/{name}", openai_api.model, openai_shape, method="GET"),
        endpoint("/v1/embeddings", openai_api.embeddings, openai_shape, openai_api.EmbeddingsForm),
        *(
            endpoint(path, rerank_api.rerank, every_shape, rerank_api.DocumentsForm, rerank_api.TextsForm)
            for path in ("/rerank", "/v1/rerank", "/v2/rerank")
        ),
        endpoint("/embed", tei_api.embed, tei_shape, tei_api.EmbedForm),
        endpoint("/embed_sparse", tei_api.embed_sparse, tei_shape, tei_api.SparseForm),
        endpoint("/predict", tei_api.predict, tei_shape, tei_api.PredictForm),
        endpoint("/similarity", tei_api.similarity, tei_shape, tei_api.SimilarityForm),
        endpoint("/tokenize", tei_api.tokenize, tei_shape, tei_api.TokenizeForm),
        endpoint("/info", tei_api.info, tei_shape, method="GET"),
        endpoint("/models/{name}", typed_api.ask_model, tei_shape),
        endpoint("/models/{name}", typed_api.describe_model, tei_shape, method="GET"),
    ]


async def _health(request: Request) -> Response:
    """Whether Triton behind it is ready."""
    ready = await request.app.state.gateway.triton.ready()
    return await json_response({"status": "ok" if ready else "Triton is not ready"}, status=200 if ready else 503)


async def _metrics(_: Gateway, request: Request) -> Response:
    """What Prometheus reads."""
    return Response(generate_latest(request.app.state.counters.registry), media_type=CONTENT_TYPE_LATEST)


async def _fault(request: Request, error: Exception) -> Response:
    """What is nobody's but the gateway's fault, as JSON too; uvicorn logs it."""
    said = f"{request.method} {request.url.path}: {type(error).__name__} in the gateway, whose log says more"
    return await json_response(every_shape(500, said), status=500)


async def _no_such_page(request: Request, error: Exception) -> Response:
    """A path or method that is not there."""
    assert isinstance(error, HTTPException)
    path, shape = request.url.path, openai_shape if request.url.path.startswith("/v1/") else tei_shape
    said = shape(error.status_code, f"{request.method} {path}: {error.detail}; the endpoints are listed at /docs")
    return await json_response(said, status=error.status_code, headers=error.headers or {})
