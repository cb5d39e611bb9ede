"""S3: signed requests, parts named by what is in them, a manifest last; against a fake that checks signatures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import ValidationError

from connectors.s3 import S3, S3Config
from hub.sdk import Audience, AuthError, Batch, ConnectorError, Person, RefusedError, TransientError
from hub.sdk.testing import HttpConnectorContract, Stage
from hub.sdk.testing.http_contract import error_of
from hub.sdk.testing.stage import staged
from tests.connectors import parts_reader
from tests.connectors.fake_s3 import BUCKET, KEY_ID, REGION, SECRET, FakeS3, failed
from tests.connectors.through_the_hub import ThroughTheHub

CONFIG: dict[str, Any] = {
    "bucket": BUCKET,
    "prefix": "from/hub",
    "region": REGION,
    "access_key_id": KEY_ID,
    "secret_access_key": SECRET,
}
VIP = Audience("vip", "vip")
ANN = Person("ann", "ann", {"email": "ann@example.com", "age": 30.5, "vip": True, "tags": ["a", "b"]})
BOB = Person("bob", "bob", {"email": None, "city": '=Say "hi", Köln'})


class TestS3(ThroughTheHub, HttpConnectorContract):
    connector = S3
    config: ClassVar = CONFIG
    fields: ClassVar = {"first_name": "Annabella-Private"}
    refuses_people = False
    volatile_headers = frozenset({"x-amz-date", "authorization"})

    def make_vendor(self) -> FakeS3:
        return FakeS3("from/hub")


@asynccontextmanager
async def s3(vendor: FakeS3 | None = None, **config: Any) -> AsyncIterator[tuple[Stage, FakeS3]]:
    vendor = vendor or FakeS3("from/hub")
    async with staged(S3, {**CONFIG, **config}, vendor, {}) as stage:
        yield stage, vendor


async def stored(stage: Stage, *batches: Batch, snapshot: bool = False, run: str = "7") -> None:
    await stage.connector.begin(VIP, run, snapshot=snapshot)
    for batch in batches:
        await stage.connector.apply(VIP, batch)
    await stage.connector.finish(VIP, run)


async def test_a_delta_is_a_part_for_each_batch_and_a_manifest_that_names_them() -> None:
    async with s3() as (stage, vendor):
        await stored(stage, Batch([BOB, ANN], [Person("cem", "cem")], run="7"), Batch([Person("dan", "dan")], run="7"))
        first, second, last = vendor.objects
        assert vendor.objects[first].decode() == (
            "id,audience_action,age,city,email,tags,vip\r\n"
            'ann,true,30.5,,ann@example.com,"[""a"", ""b""]",true\r\n'
            'bob,true,,"\'=Say ""hi"", Köln",,,\r\n'
            "cem,false,,,,,\r\n"
        )
        assert vendor.objects[second].decode() == "id,audience_action\r\ndan,true\r\n"
        assert last == "from/hub/vip/7/manifest.json"
        manifest = json.loads(vendor.objects[last])
        files = {part["file"] for part in manifest.pop("files")}
        assert manifest == {"audience": "vip", "run": "7", "mode": "delta", "row_count": 4}
        assert files == {path.removeprefix("from/hub/vip/7/") for path in (first, second)}
        assert vendor.headers[first]["content-type"] == "text/csv; charset=utf-8"
        assert vendor.headers[last]["content-type"] == "application/json"


async def test_a_snapshot_holds_everybody_and_may_hold_nobody() -> None:
    async with s3() as (stage, vendor):
        await stored(stage, Batch([ANN], [BOB], run="7"), snapshot=True)
        await stored(stage, snapshot=True, run="8")
        seventh, eighth = parts_reader.manifests(vendor.objects, "from/hub/vip").values()
        assert (seventh["mode"], seventh["row_count"]) == ("snapshot", 1)
        assert (eighth["mode"], eighth["row_count"], len(eighth["files"])) == ("snapshot", 0, 1)
        assert "audience_action" not in str(vendor.objects)
        assert parts_reader.members(vendor.objects, "from/hub/vip") == set()


async def test_lines_of_json() -> None:
    async with s3(format="ndjson", identifier="email") as (stage, vendor):
        await stored(stage, Batch([ANN], run="7"))
        content = next(iter(vendor.objects.values()))
        fields = {"age": 30.5, "vip": True, "tags": ["a", "b"]}
        assert json.loads(content) == {"email": "ann", "audience_action": True, **fields}
        assert next(iter(vendor.objects)).endswith(".ndjson")


async def test_a_delta_without_changes_is_nothing() -> None:
    async with s3() as (stage, vendor):
        await stored(stage)
        assert not vendor.objects


async def test_another_process_goes_on_with_a_run_and_says_the_same_of_it() -> None:
    async with s3() as (stage, vendor):
        batches = [Batch([ANN], run="7"), Batch([BOB], run="7")]
        await stage.connector.begin(VIP, "7", snapshot=True)
        for batch in batches:
            await stage.connector.apply(VIP, batch)
        stage.restart()
        await stage.connector.begin(VIP, "7", snapshot=True)
        await stage.connector.apply(VIP, batches[1])
        stage.restart()
        await stage.connector.finish(VIP, "7")
        [(run, manifest)] = parts_reader.manifests(vendor.objects, "from/hub/vip").items()
        assert manifest["mode"] == "snapshot"
        assert {row["id"] for row in parts_reader.rows(vendor.objects, run, manifest)} == {"ann", "bob"}
        before = dict(vendor.objects)
        await stage.connector.finish(VIP, "7")
        assert vendor.objects == before


async def test_a_withdrawal_that_ends_before_the_run_beside_it_holds_by_its_number() -> None:
    async with s3() as (stage, vendor):
        for snapshot in (False, True):
            await stage.connector.begin(VIP, "7", snapshot=snapshot)
            await stage.connector.apply(VIP, Batch([ANN, BOB], run="7"))
            await stored(stage, Batch([], [ANN], run="8"), run="8")
            await stage.connector.finish(VIP, "7")
            assert parts_reader.members(vendor.objects, "from/hub/vip") == {"bob"}
            vendor.objects.clear()


async def test_what_a_manifest_names_never_changes() -> None:
    async with s3(put_if_absent=False) as (stage, vendor):
        await stored(stage, Batch([ANN], run="7"))
        manifest = vendor.objects["from/hub/vip/7/manifest.json"]
        await stage.connector.apply(VIP, Batch([BOB], run="7"))
        await stage.connector.finish(VIP, "7")
        assert vendor.objects["from/hub/vip/7/manifest.json"] == manifest


@pytest.mark.parametrize(
    ("config", "vendor"),
    [
        ({}, FakeS3("from/hub")),
        ({"prefix": ""}, FakeS3()),
        ({"addressing": "path"}, FakeS3("from/hub", virtual=False)),
        ({"endpoint_url": "https://minio.example.com"}, FakeS3("from/hub", host="minio.example.com")),
        (
            {"endpoint_url": "https://minio.example.com/", "addressing": "path"},
            FakeS3("from/hub", virtual=False, host="minio.example.com"),
        ),
    ],
)
async def test_every_way_to_address_a_bucket_is_signed_as_it_is_sent(config: dict[str, Any], vendor: FakeS3) -> None:
    async with s3(vendor, **config) as (stage, _):
        assert (await stage.connector.check()).label == "bucket kit-bucket"
        audience = await stage.connector.ensure_audience("Käufer & Co / 2026")
        await stage.send(audience, add=stage.people("ann"))
        assert vendor.members(audience) == {"kit-external-id-ann"}


async def test_nothing_is_written_over_where_the_store_can_help_it() -> None:
    for absent in (True, False):
        async with s3(put_if_absent=absent) as (stage, vendor):
            await stored(stage, Batch([ANN], run="7"))
            assert all(("if-none-match" in headers) is absent for headers in vendor.headers.values())


async def test_what_is_asked_of_objects_goes_along_and_is_signed() -> None:
    asked = {"encryption": "aws:kms", "kms_key_id": "alias/hub", "bucket_owner": "123456789012", "session_token": "tok"}
    async with s3(**asked) as (stage, vendor):
        await stored(stage, Batch([ANN], run="7"))
        for headers in vendor.headers.values():
            assert headers["x-amz-server-side-encryption"] == "aws:kms"
            assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/hub"
            assert headers["x-amz-expected-bucket-owner"] == "123456789012"
            assert headers["x-amz-security-token"] == "tok"
            assert "x-amz-server-side-encryption;" in headers["authorization"]


async def test_a_wrong_secret_is_told_apart() -> None:
    async with s3(secret_access_key="kit-secret-another") as (stage, _):
        error = await error_of(stage.connector.check)
        assert isinstance(error, AuthError) and "SignatureDoesNotMatch: the secret access key" in error.reason


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (failed(503, "SlowDown", retry_after="3"), TransientError, "503 SlowDown"),
        (failed(400, "RequestTimeout"), TransientError, "RequestTimeout"),
        (failed(409, "ConditionalRequestConflict"), TransientError, "ConditionalRequestConflict"),
        (failed(307, "TemporaryRedirect"), TransientError, "TemporaryRedirect"),
        (failed(403, "AccessDenied"), AuthError, "s3:ListBucket"),
        (failed(403, "RequestTimeTooSkewed"), AuthError, "clock"),
        (failed(400, "ExpiredToken"), AuthError, "expired"),
        (failed(404, "NoSuchBucket"), AuthError, "no such bucket"),
        (failed(501, "NotImplemented"), AuthError, "put_if_absent"),
        (failed(301, "PermanentRedirect", x_amz_bucket_region="us-west-2"), AuthError, "the bucket is in us-west-2"),
        (httpx.Response(301, headers={"x-amz-bucket-region": "us-west-2"}), AuthError, "us-west-2"),
        (failed(301, "PermanentRedirect", x_amz_bucket_region="<script>"), AuthError, "another region"),
        (failed(400, "EntityTooLarge"), RefusedError, "EntityTooLarge"),
        (failed(400, "SomethingNew"), AuthError, "answered 400: see the bucket"),
    ],
)
async def test_the_code_says_more_than_the_status(
    answer: httpx.Response, kind: type[ConnectorError], said: str
) -> None:
    async with s3() as (stage, _):
        with stage.wire.bending(lambda _, __: answer):
            error = await error_of(lambda: stage.connector.apply(VIP, Batch([ANN], run="7")))
        assert type(error) is kind and said in error.reason
        assert isinstance(error, TransientError) is False or error.retry_after in {None, 3.0}
        assert not isinstance(error, RefusedError) or error.divisible


@pytest.mark.parametrize(
    "body", [b"", b"<?xml version='1.0'?><ok/>", b"<ListBucketResult/>", b"<ListBucketResult><IsTr"]
)
async def test_a_list_that_is_none_ends_no_run(body: bytes) -> None:
    async with s3() as (stage, vendor):
        await stage.connector.apply(VIP, Batch([ANN], run="7"))
        with stage.wire.answering(200, body), pytest.raises(TransientError):
            await stage.connector.finish(VIP, "7")
        assert not parts_reader.manifests(vendor.objects, "from/hub/vip")


@pytest.mark.parametrize(
    "wrong",
    [
        {"bucket": "Upper"},
        {"bucket": "with.dots"},
        {"prefix": "/x"},
        {"prefix": "a//b"},
        {"prefix": "a/../b"},
        {"region": "eu central"},
        {"kms_key_id": "alias/hub"},
        {"endpoint_url": "https://minio.example.com/deep"},
        {"bucket_owner": "12"},
        {"batch": 0},
    ],
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        S3Config.model_validate({**CONFIG, **wrong})
    assert SECRET not in str(refused.value)


def test_china_has_hosts_of_its_own() -> None:
    assert S3Config(**{**CONFIG, "region": "cn-north-1"}).base == "https://kit-bucket.s3.cn-north-1.amazonaws.com.cn"
