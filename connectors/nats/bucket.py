"""A key-value bucket: entries are put and removed, each answered by the server, and read back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.kv import KeyValue

from hub.sdk import AuthError, Outcome, OutcomeKind

ANSWER_S = 10.0
MOST_UNANSWERED = 250
# A server hangs up over a line of more than 4,096 bytes, unless it is set otherwise: and in it stands the bucket, too.
LONGEST_KEY = 3_500

# What the server answers to one message, by its number of the error.
REJECTED = {10054: "the entry is larger than the bucket takes"}
FULL = frozenset({10023, 10028, 10047, 10077})

# A remove leaves a marker and nothing of what was there before, in any history.
REMOVES = {"KV-Operation": "PURGE", "Nats-Rollup": "sub"}


@dataclass(frozen=True, slots=True)
class Entry:
    """`person` is whom its outcome is about; without a value it is a remove."""

    person: str
    key: str
    value: bytes | None
    about: Mapping[str, str]

    @property
    def headers(self) -> dict[str, str]:
        return {**self.about, **(REMOVES if self.value is None else {})}

    @property
    def size(self) -> int:
        """What the server counts, and a little more: the value and the headers with their line ends."""
        lines = (f"{name}: {value}\r\n".encode() for name, value in self.headers.items())
        return len(self.value or b"") + sum(map(len, lines)) + 100


@dataclass
class Heard:
    """What is heard beside answers: how often the server has denied what we asked for, without its words, which hold
    keys; and silence in the place of an answer."""

    denials: int = 0
    silence: bool = False

    async def note(self, error: Exception) -> None:
        self.denials += "permissions violation" in str(error).lower()


@dataclass(frozen=True)
class Bucket:
    client: Client
    stream: JetStreamContext
    entries: KeyValue
    name: str
    heard: Heard
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_UNANSWERED))

    async def kept(self, entries: Sequence[Entry]) -> dict[str, Outcome]:
        """Everybody whose entry was not kept as it should, or of whom that is not known. Raises AuthError where the
        user may write none of them."""
        outcomes = await asyncio.gather(*map(self._outcome, entries))
        unanswered = [one for one in outcomes if one and one.kind is OutcomeKind.UNKNOWN]
        if all(outcomes) and 0 < len(unanswered) <= self.heard.denials:
            raise AuthError(f"the user may not write to the bucket {self.name}")
        return {entry.person: one for entry, one in zip(entries, outcomes, strict=True) if one}

    async def keys(self, pattern: str) -> list[str]:
        """All that are there now. Raises where the server does not say that these were all."""
        watcher = await self.entries.watch(pattern, ignore_deletes=True, meta_only=True)
        keys: list[str] = []
        while (entry := await watcher.updates(timeout=ANSWER_S)) is not None:
            keys.append(entry.key)
        await watcher.stop()
        return keys

    async def forget(self, pattern: str) -> None:
        """With its past, and with the marker that a remove leaves."""
        await self.stream.purge_stream(f"KV_{self.name}", subject=f"$KV.{self.name}.{pattern}")

    async def _outcome(self, entry: Entry) -> Outcome | None:
        """None where it was kept."""
        if len(entry.key) > LONGEST_KEY:
            return Outcome(OutcomeKind.REJECTED, "the key would be too long")
        if entry.size > self.client.max_payload:
            return Outcome(OutcomeKind.REJECTED, "the entry is larger than the server takes")
        async with self.room:
            if self.heard.silence or not self.client.is_connected:
                return Outcome(OutcomeKind.RETRY, "not sent, since the server had stopped answering")
            return await self._answer(entry)

    async def _answer(self, entry: Entry) -> Outcome | None:
        """No message id goes along, by which the server would drop what it takes for a repeat: a last word said twice
        is the same word, and one said again after its opposite must count."""
        try:
            await self.stream.publish(
                f"$KV.{self.name}.{entry.key}", entry.value or b"", timeout=ANSWER_S, headers=entry.headers
            )
        except nats.js.errors.APIError as error:
            return outcome(error.err_code or 0)
        except nats.js.errors.NoStreamResponseError:
            return Outcome(OutcomeKind.RETRY, "no stream keeps the bucket any more")
        except (nats.errors.Error, OSError) as error:
            self.heard.silence = True
            return Outcome(OutcomeKind.UNKNOWN, f"the server did not answer: {type(error).__name__}")
        return None


def outcome(code: int) -> Outcome:
    """What that error means for the person in the message, which was not kept."""
    if why := REJECTED.get(code):
        return Outcome(OutcomeKind.REJECTED, why)
    return Outcome(OutcomeKind.RETRY, "the bucket is full" if code in FULL else f"the server answered error {code}")
