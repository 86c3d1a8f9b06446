"""POST /topup: check it, give it an id, queue it durably, answer 202."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal
from uuid import uuid4

import uvicorn
from fastapi import FastAPI, Header
from faststream.redis import RedisBroker
from pydantic import BaseModel, Field

broker = RedisBroker(os.environ["REDIS_URL"])
publisher = broker.publisher(stream="topups")


class Order(BaseModel):
    """What a merchant asks for."""

    phone: Annotated[str, Field(pattern=r"^\d{10}$")]
    amount: Annotated[int, Field(gt=0)]
    provider: Literal["LATCOM"]


@asynccontextmanager
async def connected(_app: FastAPI) -> AsyncIterator[None]:
    """Hold the connections of the broker."""
    await broker.start()
    yield
    await broker.stop()


app = FastAPI(lifespan=connected)


@app.post("/topup", status_code=202)
async def accept(
    order: Order, idempotency_key: Annotated[str | None, Header()] = None
) -> dict[str, str]:
    """Accept one topup."""
    topup_id = idempotency_key or str(uuid4())
    await publisher.publish({"topup_id": topup_id, **order.model_dump()})
    return {"topup_id": topup_id, "status": "queued"}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), access_log=False, log_level="warning")
