"""Amazon S3 and the stores that speak its language: a folder for each run, a part for each batch, a manifest last."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from urllib.parse import quote, urlencode

from connectors.parts import InParts
from connectors.s3.answers import Listing, by_code, listing
from connectors.s3.config import S3Config
from hub.sdk import Account, Capabilities, Channel, ConnectorError, Response, TransientError

TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson", "json": "application/json"}


class S3(InParts[S3Config]):
    key = "s3"
    title = "Amazon S3"
    channel = Channel.GENERIC
    capabilities = Capabilities(batch=10_000, concurrency=4, replace=True, in_flight_s=60.0)
    Config = S3Config
    scopes = ("s3:PutObject", "s3:ListBucket")

    def limits(self) -> Capabilities:
        return replace(self.capabilities, key=self.config.identifier, batch=self.config.batch)

    async def check(self) -> Account:
        await self._listed({"prefix": self._key(""), "max-keys": "0"})
        return Account(f"bucket {self.config.bucket}")

    async def put(self, path: str, content: bytes) -> None:
        headers = {"content-type": TYPES[path.rpartition(".")[2]], **self._asked_of_objects()}
        answer = await self._call("PUT", f"/{quote(self._key(path))}", content, headers)
        # 412: it is there already, and what has its name has its content.
        if answer.status != 412 and (answer.body.strip() or "etag" not in answer.headers):
            raise TransientError(f"{answer.host} answered {answer.status} without saying that it keeps the object")

    async def names(self, folder: str) -> Collection[str]:
        asked = {"prefix": f"{self._key(folder)}/"}
        page = await self._listed(asked)
        keys = list(page.keys)
        while page.next:
            page = await self._listed({**asked, "continuation-token": page.next})
            keys += page.keys
        return {key.removeprefix(asked["prefix"]) for key in keys}

    async def _listed(self, asked: Mapping[str, str]) -> Listing:
        query = urlencode({"list-type": "2", **asked}, quote_via=quote, safe="")
        return listing(await self._call("GET", f"/?{query}", b"", {}))

    async def _call(self, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> Response:
        # Half a second, which whoever has no S3 destination need not wait.
        from connectors.s3.signing import signed

        url, config = f"{self.config.base}{path}", self.config
        owner = {"x-amz-expected-bucket-owner": config.bucket_owner} if config.bucket_owner else {}
        whole = signed(config, method, url, content, {**headers, **owner})
        return await self.http.request(
            method,
            url,
            content=content or None,
            headers=whole,
            classify=_there_already if _if_absent(headers) else by_code,
        )

    def _asked_of_objects(self) -> dict[str, str]:
        asked = {"if-none-match": "*"} if self.config.put_if_absent else {}
        if self.config.encryption != "bucket":
            asked["x-amz-server-side-encryption"] = self.config.encryption
        if self.config.kms_key_id:
            asked["x-amz-server-side-encryption-aws-kms-key-id"] = self.config.kms_key_id
        return asked

    def _key(self, path: str) -> str:
        return f"{self.config.prefix}/{path}".lstrip("/")


def _if_absent(headers: Mapping[str, str]) -> bool:
    return "if-none-match" in headers


def _there_already(response: Response) -> ConnectorError | None:
    return None if response.status == 412 else by_code(response)
