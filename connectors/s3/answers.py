"""What S3 answers: lists of objects, and errors whose codes say more than their status."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from hub.sdk import AuthError, ConnectorError, RefusedError, Response, TransientError

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
# Temporary whatever the status: some of these come as 400, and a bucket just made redirects for a while.
AGAIN = frozenset(
    "SlowDown ServiceUnavailable InternalError RequestTimeout OperationAborted ConditionalRequestConflict "
    "BadDigest IncompleteBody XAmzContentSHA256Mismatch TemporaryRedirect".split()
)
TOO_LARGE = frozenset({"EntityTooLarge", "MaxMessageLengthExceeded"})
_OTHER_REGION = "the bucket is in another region"
# What a person has to do about the account, the bucket or the configuration.
HINTS = {
    "AccessDenied": "the key must be allowed s3:PutObject below the prefix and s3:ListBucket on the bucket",
    "AllAccessDisabled": "the bucket is disabled",
    "AccountProblem": "the account has a problem",
    "InvalidAccessKeyId": "there is no such access key",
    "SignatureDoesNotMatch": "the secret access key is wrong",
    "ExpiredToken": "the temporary credentials have expired",
    "InvalidToken": "the session token is wrong",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "NoSuchBucket": "there is no such bucket",
    "NotImplemented": "the store cannot do what was asked: perhaps put_if_absent or encryption",
    "PermanentRedirect": _OTHER_REGION,
    "AuthorizationHeaderMalformed": _OTHER_REGION,
    "KMS.DisabledException": "the KMS key is disabled",
    "KMS.NotFoundException": "there is no such KMS key",
    "KMS.KMSInvalidStateException": "the KMS key cannot be used in its state",
}


@dataclass(frozen=True, slots=True)
class Listing:
    keys: tuple[str, ...]
    next: str | None


def listing(response: Response) -> Listing:
    """A page of ListObjectsV2; raises TransientError where it is none."""
    try:
        root = ElementTree.fromstring(response.body)  # noqa: S314 - expat bounds what entities grow to
    except ElementTree.ParseError:
        raise TransientError(f"{response.host} answered {response.status} with something other than XML") from None
    if _local(root) != "ListBucketResult" or _text(root, "IsTruncated") not in {"true", "false"}:
        raise TransientError(f"{response.host} answered {response.status} with XML of another shape")
    keys = (_text(one, "Key") for one in root if _local(one) == "Contents")
    return Listing(tuple(filter(None, keys)), _text(root, "NextContinuationToken") or None)


def by_code(response: Response) -> ConnectorError | None:
    """Nobody in a part is ever at fault: what is not temporary is for a person to look at."""
    if response.ok:
        return None
    code = _code(response.body)
    said = f"{response.host} answered {response.status} {code}".strip()
    if code in TOO_LARGE or response.status == 413:
        return RefusedError(said, divisible=True)
    if code not in HINTS and (code in AGAIN or response.status in {408, 409, 425, 429} or response.status >= 500):
        return TransientError(said, response.retry_after())
    return AuthError(": ".join(filter(None, (said, _hint(code, response)))))


def _hint(code: str, response: Response) -> str:
    region = response.headers.get("x-amz-bucket-region", "")
    if (HINTS.get(code) == _OTHER_REGION or response.status == 301) and re.fullmatch(r"[a-z0-9-]{2,32}", region):
        return f"the bucket is in {region}"
    return HINTS.get(code, "see the bucket, the endpoint and the credentials")


def _code(body: bytes) -> str:
    """Only a code that is known here: an answer could hold anything."""
    told = re.search(rb"<Code>([A-Za-z.]{1,64})</Code>", body)
    code = told[1].decode() if told else ""
    return code if code in HINTS.keys() | AGAIN | TOO_LARGE else ""


def _local(element: ElementTree.Element) -> str:
    """The name without its namespace: some stores have none."""
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    return next((child.text or "" for child in element if _local(child) == name), "")
