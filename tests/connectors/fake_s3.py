"""One bucket of S3's, which believes nothing that is not signed: it works the signature out by itself, from AWS's
description (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html)."""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import unquote
from xml.sax.saxutils import escape

import httpx

from hub.sdk.contract import Audience
from hub.sdk.testing import HttpVendor
from tests.connectors import parts_reader

KEY_ID, SECRET, REGION, BUCKET = "AKIAKIT0000000000000", "kit-secret/key+0123456789", "eu-central-1", "kit-bucket"
PAGE = 2


class FakeS3(HttpVendor):
    def __init__(self, prefix: str = "", virtual: bool = True, host: str = f"s3.{REGION}.amazonaws.com") -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self._prefix = f"{prefix}/" if prefix else ""
        self._host = f"{BUCKET}.{host}" if virtual else host
        self._root = "/" if virtual else f"/{BUCKET}/"

    def members(self, audience: Audience) -> set[str]:
        return parts_reader.members(self.objects, f"{self._prefix}{audience.ref}")

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        assert request.headers["host"] == self._host and path.startswith(self._root)
        if not signature_fits(request):
            return failed(403, "SignatureDoesNotMatch")
        if hashlib.sha256(request.content).hexdigest() != request.headers["x-amz-content-sha256"]:
            return failed(400, "XAmzContentSHA256Mismatch")
        key = unquote(path.removeprefix(self._root))
        return self._put(key, request) if request.method == "PUT" else self._list(request)

    def _put(self, key: str, request: httpx.Request) -> httpx.Response:
        if key in self.objects and request.headers.get("if-none-match") == "*":
            return failed(412, "PreconditionFailed")
        self.objects[key] = request.content
        self.headers[key] = dict(request.headers)
        return httpx.Response(200, headers={"etag": f'"{hashlib.md5(request.content).hexdigest()}"'})

    def _list(self, request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        assert asked["list-type"] == "2"
        after = asked.get("continuation-token", "")
        keys = sorted(key for key in self.objects if key.startswith(asked["prefix"]) and key > after)
        page = keys[: min(PAGE, int(asked.get("max-keys", PAGE)))]
        more = len(keys) > len(page) and bool(page)
        told = "".join(f"<Contents><Key>{escape(key)}</Key><Size>1</Size></Contents>" for key in page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><IsTruncated>{str(more).lower()}</IsTruncated>{told}{token}</ListBucketResult>"
        )
        return httpx.Response(200, content=body.encode(), headers={"content-type": "application/xml"})


def failed(status: int, code: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>No</Message></Error>'
    return httpx.Response(status, content=body.encode(), headers=named)


def signature_fits(request: httpx.Request) -> bool:
    told = re.fullmatch(
        rf"AWS4-HMAC-SHA256 Credential={KEY_ID}/(\d{{8}})/{REGION}/s3/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        request.headers["authorization"],
    )
    assert told, request.headers["authorization"]
    day, names, signature = told.groups()
    assert {"host", "x-amz-content-sha256", "x-amz-date"} <= set(names.split(";"))
    path, _, query = request.url.raw_path.decode().partition("?")
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names.split(";"))
    canonical = "\n".join(
        (
            request.method,
            path,
            "&".join(sorted(query.split("&"))),
            headers,
            names,
            request.headers["x-amz-content-sha256"],
        )
    )
    scope = f"{day}/{REGION}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{scope}\n{hashed}"
    key = f"AWS4{SECRET}".encode()
    for part in (day, REGION, "s3", "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(key.hex(), signature)
