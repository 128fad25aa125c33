"""LangChain's embedding classes, whose packages are many: `make gateway-clients` installs and asks them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient

from tests.server.gateway.running import Asked

pytestmark = pytest.mark.long
TEXTS = ["금리가 올랐다", "🔥"]


def test_openais_class(gateway: Asked) -> None:
    module = pytest.importorskip("langchain_openai", reason="make gateway-clients installs it")
    terms: dict[str, Any] = {"base_url": f"{gateway.url}/v1", "api_key": "any", "check_embedding_ctx_length": False}

    async def asked(session: httpx.Client) -> tuple[list[list[float]], list[float], list[float]]:
        async with httpx.AsyncClient() as other:
            sessions = {"http_client": session, "http_async_client": other}
            embeddings = module.OpenAIEmbeddings(model="vectors", dimensions=8, **terms, **sessions)
            first = embeddings.embed_documents(TEXTS), embeddings.embed_query(TEXTS[0])
            return *first, await embeddings.aembed_query(TEXTS[0])

    with httpx.Client() as session:
        documents, query, query_later = asyncio.run(asked(session))
    np.testing.assert_allclose(documents, gateway.post("/embed", {"inputs": TEXTS, "dimensions": 8}).body, atol=1e-6)
    np.testing.assert_allclose([query, query_later], [documents[0]] * 2, atol=1e-6)


def test_hugging_faces_class(gateway: Asked) -> None:
    """It takes no address itself any more, but a client that has one."""
    module = pytest.importorskip("langchain_huggingface", reason="make gateway-clients installs it")
    embeddings = module.HuggingFaceEndpointEmbeddings(model="any/name", huggingfacehub_api_token="any")
    address = f"{gateway.url}/models/vectors"

    async def asked() -> list[float]:
        async with AsyncInferenceClient(address) as embeddings.async_client:
            found: list[float] = await embeddings.aembed_query(TEXTS[0])
            return found

    embeddings.client = InferenceClient(address)
    found = embeddings.embed_documents(TEXTS)
    huggingface_hub.close_session()
    np.testing.assert_allclose(found, gateway.post("/embed", {"inputs": TEXTS}).body, atol=1e-6)
    np.testing.assert_allclose(asyncio.run(asked()), found[0], atol=1e-6)
