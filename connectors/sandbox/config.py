"""What goes wrong at a pretend vendor, and how it behaves otherwise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hub.sdk import ConnectorConfig


class ScriptedFailure(ConnectorConfig):
    """What goes wrong in one call."""

    call: int = Field(ge=1, description="Which call to the vendor fails, counted from 1 over the account's life.")
    kind: Literal["throttle", "transient", "unreachable", "auth", "refused", "unknown", "timeout_after_apply"] = Field(
        description="How it fails; after timeout_after_apply and unknown the change has been made all the same."
    )
    retry_after: float | None = Field(None, ge=0, description="Seconds that a throttle asks to wait.")


class ScriptedJobs(ConnectorConfig):
    """How the jobs go with which calls are answered."""

    faults: int = Field(0, ge=0, description="How many questions after a job are answered with a fault, at first.")
    running: int = Field(1, ge=0, description="How many questions then find it still running.")
    ends: Literal["done", "failed", "done_then_failed", "never"] = Field(
        "done", description="What becomes of it; done_then_failed is told as done once, and nobody is in."
    )
    deadline_s: float = Field(60.0, gt=0, description="Seconds after which nobody asks any more.")


class SandboxConfig(ConnectorConfig):
    account: str = Field("sandbox", min_length=1, description="The pretend account; who names the same one shares it.")
    identifier: Literal["external_id", "email", "phone", "device_id", "ad_id", "push_token", "user_id"] = Field(
        "external_id", description="What names a person at this pretend vendor."
    )
    reject: tuple[str, ...] = Field((), description="Ids or identifiers that are refused whenever they are added.")
    suppress: tuple[str, ...] = Field((), description="Ids or identifiers that the vendor has on its block list.")
    failures: tuple[ScriptedFailure, ...] = Field((), description="Calls that fail, and how.")
    jobs: ScriptedJobs | None = Field(None, description="Whether calls are answered with jobs to ask after, and how.")
    locked: bool = Field(False, description="Whether every call is refused as if the password were wrong.")
    latency_ms: int = Field(0, ge=0, le=60_000, description="Milliseconds that every call takes.")
    batch: int = Field(1000, ge=1, le=100_000, description="The most people in one call.")
    concurrency: int = Field(4, ge=1, le=8, description="Calls in flight at a time.")
    listing: Literal["key", "md5", "sha256", "count", "nothing"] = Field(
        "key", description="How it says who is in an audience: by the keys, by their hashes, only how many, or not."
    )
    page: int = Field(1000, ge=1, le=100_000, description="The most members on one page of that list.")
    replace: bool = Field(
        False, description="Whether it can swap: a run of mode REPLACE then takes the place of the audience at its end."
    )
    state_file: str | None = Field(
        None, description="File below the hub's own folder that keeps every call, one JSON object a line."
    )
