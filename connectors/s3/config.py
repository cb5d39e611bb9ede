"""What an admin fills in for S3."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from connectors.artefacts import ArtefactConfig
from hub.sdk import Url


class S3Config(ArtefactConfig):
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="The bucket; it must exist.")
    prefix: str = Field(
        "",
        pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.=-]*(/[A-Za-z0-9_][A-Za-z0-9_.=-]*)*)?$",
        max_length=300,
        description="Folder in the bucket that everything goes below, without a slash at its ends; may be empty.",
    )
    region: str = Field(pattern=r"^[a-z0-9-]{2,32}$", description="The bucket's region, such as eu-central-1.")
    access_key_id: str = Field(pattern=r"^[A-Za-z0-9._+/=-]{3,128}$", description="The access key's id.")
    secret_access_key: SecretStr = Field(min_length=8, description="The access key's secret part.")
    session_token: SecretStr | None = Field(
        None, description="Only with temporary credentials; the destination pauses when they expire."
    )
    endpoint_url: Url | None = Field(
        None, description="Where a store other than Amazon's answers, such as https://minio.example.com."
    )
    addressing: Literal["virtual", "path"] = Field(
        "virtual", description="Whether the bucket stands before the host's name, or first in the path."
    )
    encryption: Literal["bucket", "AES256", "aws:kms", "aws:kms:dsse"] = Field(
        "bucket", description="Encryption to ask for with each object; `bucket` leaves it to the bucket's own default."
    )
    kms_key_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9:/_-]{1,256}$",
        description="The KMS key to encrypt with, where it is not the default.",
    )
    bucket_owner: str | None = Field(
        None,
        pattern=r"^[0-9]{12}$",
        description="Refuse to write if the bucket belongs to another AWS account than this.",
    )
    put_if_absent: bool = Field(
        True, description="Never write over an object (If-None-Match); off for stores that do not know it."
    )
    batch: int = Field(10_000, ge=1, le=50_000, description="The most people in one part.")

    @model_validator(mode="after")
    def _fits_together(self) -> S3Config:
        if "." in self.bucket and self.addressing == "virtual":
            raise ValueError("a bucket with dots needs addressing: path, since no certificate fits its name")
        if self.kms_key_id and not self.encryption.startswith("aws:kms"):
            raise ValueError("a kms_key_id needs encryption: aws:kms")
        if self.endpoint_url and urlsplit(self.endpoint_url).path.strip("/"):
            raise ValueError("the endpoint_url must have no path")
        return self

    @property
    def base(self) -> str:
        """The address of the bucket, without a slash at its end."""
        scheme, host = self._endpoint()
        return (
            f"{scheme}://{self.bucket}.{host}" if self.addressing == "virtual" else f"{scheme}://{host}/{self.bucket}"
        )

    def _endpoint(self) -> tuple[str, str]:
        if self.endpoint_url:
            parts = urlsplit(self.endpoint_url)
            return parts.scheme, parts.netloc
        return "https", f"s3.{self.region}.amazonaws.com{'.cn' if self.region.startswith('cn-') else ''}"
