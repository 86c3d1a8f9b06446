"""Takes a topup off the stream, pays it at the provider, writes one row."""

import asyncio
import json
import os

import aiohttp
import asyncpg
import uvloop
from faststream import FastStream
from faststream.redis import RedisBroker, StreamSub
from pydantic import BaseModel

PROVIDER = os.environ["PROVIDER_URL"]
INSERT = """
    INSERT INTO topups (topup_id, phone, amount, provider, status, evidence)
    VALUES ($1, $2, $3, 'LATCOM', $4, $5) ON CONFLICT (topup_id) DO NOTHING
"""
broker = RedisBroker(os.environ["REDIS_URL"])
app = FastStream(broker)


class Job(BaseModel):
    """What the web process queued."""

    topup_id: str
    phone: str
    amount: int
    provider: str


class Held:
    """What all jobs share."""

    session: aiohttp.ClientSession
    pool: asyncpg.Pool


@app.on_startup
async def open_all() -> None:
    """Log in and connect."""
    Held.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    Held.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=10)
    access = dict.fromkeys(("username", "password", "dist_api", "user_uid"), "b")
    async with Held.session.post(f"{PROVIDER}/api/dislogin", json=access) as answer:
        token = (await answer.json())["access"]
    Held.session.headers["authorization"] = f"Bearer {token}"


@broker.subscriber(
    stream=StreamSub("topups", group="workers", consumer="worker-1", max_records=100),
    max_workers=int(os.environ["CONCURRENCY"]),
)
async def pay(job: Job) -> None:
    """Pay one topup."""
    order = {
        "targetMSISDN": job.phone,
        "dist_transid": job.topup_id,
        "operator": "TELCEL",
        "country": "MEXICO",
        "currency": "MXN",
        "amount": job.amount,
        "productId": "XOOM_10_MXN",
        "skuID": "0",
        "service": 2,
    }
    async with Held.session.post(f"{PROVIDER}/api/tn/fast", json=order) as answer:
        result = await answer.json()
    await Held.pool.execute(
        INSERT, job.topup_id, job.phone, job.amount, result["status"], json.dumps(result)
    )


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(app.run())
