"""What is described is so, on the whole of it: requests that work, streams, and a first attack."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic_asyncapi.v3 import AsyncAPI
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from ops.commands.asyncapi import document
from shared.contracts.packing import unpack
from shared.runtime.redis import Client
from tests.system.stack import ROOT, Stack, accept, until

pytestmark = [pytest.mark.system, pytest.mark.settings(SANDBOX_LATENCY="20")]

ST = Path(sys.executable).with_name("st")
CASES = 20
DESCRIBED = json.loads(json.dumps(document()))


async def test_every_example_of_a_request_works(stack: Stack) -> None:
    """Sent as it stands in /openapi.json, each ends as its name says."""
    async with stack.session.get(f"{stack.url}/openapi.json") as answer:
        call = (await answer.json())["paths"]["/api/{merchant}/topup"]["post"]
    examples = call["requestBody"]["content"]["application/json"]["examples"]
    ends = {"succeeds": "succeeded", "complete": "succeeded", "fails": "failed"}
    assert set(examples) == set(ends)
    (path,) = [one["example"] for one in call["parameters"] if one["in"] == "path"]
    for name, example in examples.items():
        async with stack.session.post(
            f"{stack.url}/api/{path}/topup",
            json=example["value"],
            headers={"x-api-key": stack.env["TOPUP_API_KEY"], "prefer": "wait=10"},
        ) as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, ends[name])


def test_the_streams_description_is_current() -> None:
    """`make asyncapi` would change nothing."""
    assert json.loads((ROOT / "docs" / "asyncapi.json").read_text()) == DESCRIBED


def test_the_streams_description_is_asyncapi_3() -> None:
    """Every part is what AsyncAPI 3 knows, and every reference leads somewhere."""
    AsyncAPI.model_validate(DESCRIBED)
    for reference in references(DESCRIBED):
        found = DESCRIBED
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def references(part: Any) -> list[str]:
    """Return all `$ref` in a document."""
    if isinstance(part, list):
        return [one for inner in part for one in references(inner)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if "$ref" in part else []
    return own + [one for inner in part.values() for one in references(inner)]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return what checks a value by a schema of the document."""
    resource = Resource.from_contents(DESCRIBED, default_specification=DRAFT202012)
    text = json.dumps(schema).replace('"$ref": "#/', '"$ref": "urn:streams#/')
    return Draft202012Validator(
        json.loads(text),
        registry=Registry().with_resource("urn:streams", resource),
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


def check(name: str, entry: dict[bytes, bytes]) -> None:
    """Hold an entry against its message, and the JSON in it against its own schema."""
    fields = {key.decode(): unpack(value).decode() for key, value in entry.items()}
    schema = DESCRIBED["components"]["messages"][name]["payload"]["schema"]
    validator(schema).validate(fields)
    for field, said in schema["properties"].items():
        if "contentSchema" in said and fields.get(field):
            validator(said["contentSchema"]).validate(json.loads(fields[field]))


async def test_what_travels_is_what_is_described(stack: Stack, redis: Client) -> None:
    """Each entry on each stream, after topups of all kinds, rubbish, new keys and acts."""
    await accept(stack, 5)
    for ending in ("901", "902"):
        await stack.post(phone=f"5512345{ending}", amount=50, key=f"ending-{ending}")
    lane = "topup:{0}:requests:LATCOM"
    await redis.xadd(lane, {"id": "0195", "body": "rubbish"})
    assert stack.topup("keys", "create", stack.env["TOPUP_CUSTOMER_ID"]).returncode == 0
    assert stack.topup("operators", "add", "ana").returncode == 0
    for act in ("hold", "release"):
        done = stack.topup("lanes", act, "RELOADLY", "--reason", "as described", "--yes")
        assert done.returncode == 0, done.stderr
    streams = {
        channel["address"].replace("{hashTag}", "{0}").replace("{provider}", "LATCOM"): name
        for name, channel in DESCRIBED["channels"].items()
    }
    found = [key.decode() async for key in redis.scan_iter(_type="stream")]
    assert {re.sub("(?<=:requests:).*", "LATCOM", key) for key in found} == set(streams)

    async def all_is_there() -> bool:
        lengths = [await redis.xlen(stream) for stream in streams]
        return all(lengths) and await redis.xlen("topup:{0}:outcomes") >= 7

    await until(all_is_there)
    for stream, name in streams.items():
        for _, entry in await redis.xrange(stream):
            if entry.get(b"body") != b"rubbish":
                check(name, entry)
        groups = {row["name"].decode() for row in await redis.xinfo_groups(stream)}
        assert groups == set(DESCRIBED["channels"][name]["x-redis-stream"]["groups"])


@pytest.mark.long
@pytest.mark.parametrize("seed", [4711])
async def test_no_request_breaks_the_api(stack: Stack, seed: int) -> None:
    """Hundreds of odd ones, from the description: no 5xx, nothing undescribed, no key unneeded."""
    config = str(ROOT / "tests" / "system" / "schemathesis.toml")
    words = ["--seed", str(seed), "--max-examples", str(CASES), "--no-color", "--warnings", "off"]
    done = await asyncio.to_thread(
        subprocess.run,
        [str(ST), "--config-file", config, "run", f"{stack.url}/openapi.json", *words],
        cwd=stack.folder.parent,
        env={**os.environ, **stack.env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"([1-9][0-9]*) selected / \1 total", done.stdout)
    status, health = await stack.get("/health")
    assert (status, health["status"]) == (200, "healthy")
