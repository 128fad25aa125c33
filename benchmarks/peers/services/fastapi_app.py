"""What both FastAPI services share: what a client sends, an app with POOL threads for its endpoint, and /ready."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from pydantic import BaseModel


class Text(BaseModel):
    text: str


@asynccontextmanager
async def pool(_: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = int(os.environ["POOL"])
    yield


app = FastAPI(lifespan=pool)


@app.get("/ready")
def ready() -> bool:
    return True
