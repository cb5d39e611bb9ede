"""S3, the connector, against moto, a server of somebody else's that answers as S3 does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pytest

from connectors.s3 import S3, S3Config
from hub.sdk import Audience, AuthError, Batch, EgressPolicy, Http, Person
from tests.connectors import parts_reader
from tests.real.s3 import BUCKET, PAGE, RealS3

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="function")]

VIP = Audience("vip", "vip")


@asynccontextmanager
async def reaching_s3(server: RealS3, **config: Any) -> AsyncIterator[S3]:
    at = {"endpoint_url": server.url, "addressing": "path", "bucket": BUCKET, "region": "us-east-1"}
    key = {"access_key_id": "AKIAREAL000000000000", "secret_access_key": "real-secret-0123456789"}
    async with Http(EgressPolicy(frozenset({urlsplit(server.url).netloc}))) as http:
        yield S3(S3Config(**{**at, **key, **config}), http)


@pytest.fixture
async def connector(s3: RealS3) -> AsyncIterator[S3]:
    """Below a prefix of this test's own."""
    async with reaching_s3(s3, prefix=f"runs/{uuid4().hex}") as connector:
        yield connector


async def stored(server: RealS3, connector: S3) -> dict[str, bytes]:
    """By path, the order of runs being that of their names."""
    names = [f"{run}/{name}" for run in ("1", "2", "3") for name in sorted(await connector.names(f"vip/{run}"))]
    paths = {f"vip/{name}": f"/{connector.config.prefix}/vip/{name}" for name in names}
    return {name: server.asked("GET", quote(path)).content for name, path in paths.items()}


async def test_runs_are_stored_and_a_reader_finds_who_is_in(connector: S3, s3: RealS3) -> None:
    assert (await connector.check()).label == f"bucket {BUCKET}"
    crowd = [Person(f"n{number}", f"n{number}", {"city": "Köln"}) for number in range(50)]
    for run, batches in (
        ("1", [Batch(crowd[:25], run="1"), Batch(crowd[25:], run="1")]),
        ("2", [Batch([], crowd[10:], run="2")]),
    ):
        await connector.begin(VIP, run, snapshot=False)
        for batch in batches:
            await connector.apply(VIP, batch)
        await connector.finish(VIP, run)
    assert parts_reader.members(await stored(s3, connector), "vip") == {f"n{number}" for number in range(10)}
    await connector.begin(VIP, "3", snapshot=True)
    await connector.finish(VIP, "3")
    assert parts_reader.members(await stored(s3, connector), "vip") == set()


async def test_what_is_repeated_stays_as_it_was(connector: S3, s3: RealS3) -> None:
    batch = Batch([Person("ann", "ann")], run="1")
    for _ in range(2):
        await connector.apply(VIP, batch)
        await connector.finish(VIP, "1")
    assert len(await connector.names("vip/1")) == 2
    assert parts_reader.members(await stored(s3, connector), "vip") == {"ann"}


async def test_more_objects_than_fit_on_a_page_are_all_found(s3: RealS3) -> None:
    async with reaching_s3(s3, prefix=f"runs/{uuid4().hex}", put_if_absent=False) as connector:
        for number in range(2 * PAGE + 1):
            s3.asked("PUT", f"/{connector.config.prefix}/vip/1/x{number}")
        assert len(await connector.names("vip/1")) == 2 * PAGE + 1


async def test_a_bucket_that_is_not_there_pauses_the_destination(s3: RealS3) -> None:
    async with reaching_s3(s3, bucket="another-bucket") as connector:
        for call in (connector.check(), connector.apply(VIP, Batch([Person("ann", "ann")], run="1"))):
            with pytest.raises(AuthError, match="NoSuchBucket: there is no such bucket"):
                await call
