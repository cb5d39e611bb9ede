"""Requests signed with AWS Signature Version 4, by the vendor's own library; they go out through the hub's client."""

from __future__ import annotations

from collections.abc import Mapping

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from connectors.s3.config import S3Config


def signed(config: S3Config, method: str, url: str, content: bytes, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with the signature's own; what the signature covers must be sent exactly so."""
    token = config.session_token.get_secret_value() if config.session_token else None
    credentials = Credentials(config.access_key_id, config.secret_access_key.get_secret_value(), token)
    request = AWSRequest(method=method, url=url, data=content, headers=dict(headers))
    S3SigV4Auth(credentials, "s3", config.region).add_auth(request)
    return dict(request.headers.items())
