"""Answers with status 2xx that are no success: a corpus against every connector that speaks HTTP."""

from __future__ import annotations

import gzip
import json
from typing import Any, ClassVar

import pytest

from hub.sdk import Batch, TransientError
from hub.sdk.testing import HttpConnectorContract
from hub.sdk.testing.stage import DONE
from tests.connectors.test_mailchimp import TestMailchimp as MailchimpKit
from tests.connectors.test_onesignal import TestOneSignal as OneSignalKit
from tests.connectors.test_webhook import TestWebhook as WebhookKit

TAGGED = {"members_added": [], "members_removed": [], "errors": [], "error_count": 0}
CHANGED = {"properties": {"tags": {"seg_vip": "1"}}}
LOGIN = "<!doctype html><html><head><title>Sign in</title></head><body><form action='/login'></form></body></html>"


def packed(value: Any) -> bytes:
    return json.dumps(value).encode()


EMPTY = {
    "nothing at all": b"",
    "a blank": b" ",
    "line breaks only": b"\r\n\r\n",
}

# No JSON object, whoever reads it.
NO_OBJECT = {
    "a login page": LOGIN.encode(),
    "a login page in UTF-16": LOGIN.encode("utf-16"),
    "half a login page": LOGIN[:40].encode(),
    "a gateway's fault page": b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>",
    "a captive portal's script": b"<script>location.href='https://wifi.example/'</script>",
    "a maintenance notice": "Wir sind gleich zurück.".encode(),
    "plain OK": b"OK",
    "a proxy's complaint": b"upstream connect error or disconnect/reset before headers",
    "a stack trace": b"Traceback (most recent call last):\n  File \"app.py\", line 1\nKeyError: 'tags'\n",
    "XML": b"<?xml version='1.0'?><result>ok</result>",
    "a form": b"status=ok&accepted=2",
    "YAML": b"errors: []\nmembers_added: []\n",
    "JSONP": b"callback(" + packed(TAGGED) + b");",
    "guarded JSON": b")]}',\n" + packed(TAGGED),
    "an event stream": b"data: " + packed(TAGGED) + b"\n\n",
    "one object a line": packed(TAGGED) + b"\n" + packed(TAGGED),
    "an answer and a notice behind it": packed(TAGGED) + b"<!-- served by cache -->",
    "a notice and an answer behind it": b"<!-- served by cache -->" + packed(TAGGED),
    "Python's idea of JSON": repr(TAGGED).encode(),
    "a comma too many": b'{"errors": [],}',
    "a comment": b'{"errors": [] /* none */}',
    "NaN": b'{"error_count": NaN, "errors": []}',
    "an unknown escape": b'{"errors": "\\x00"}',
    "a raw line break in a text": b'{"errors": "a\nb"}',
    "an answer without its end": packed(TAGGED)[:-1],
    "an answer without its second half": packed(TAGGED)[: len(packed(TAGGED)) // 2],
    "an answer without its beginning": packed(TAGGED)[9:],
    "a change without its end": packed(CHANGED)[:-1],
    "one brace": b"{",
    "UTF-16": json.dumps(TAGGED).encode("utf-16"),
    "UTF-16 without a mark": json.dumps(TAGGED).encode("utf-16-le"),
    "UTF-32": json.dumps(TAGGED).encode("utf-32"),
    "Latin-1": '{"errors": [], "note": "Müller"}'.encode("latin-1"),
    "EBCDIC": json.dumps(TAGGED).encode("cp500"),
    "half a character": '{"errors": [], "note": "ü"}'.encode().replace(b"\xbc", b""),
    "a surrogate in UTF-8": b'{"errors": [], "note": "\xed\xa0\x80"}',
    "packed and not said so": gzip.compress(packed(TAGGED)),
    "zeros": b"\x00" * 64,
    "a picture": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "a PDF": b"%PDF-1.7\n",
    "null": b"null",
    "true": b"true",
    "a number": b"2",
    "a text": b'"accepted"',
    "a list": b"[]",
    "a list around the answer": packed([TAGGED]),
    "a text around the answer": packed(packed(TAGGED).decode()),
    "thousands of brackets": b"[" * 100_000,
    "thousands of braces": b'{"a":' * 100_000,
}

# Objects, but none that these vendors answer when all went well.
OTHER_OBJECTS = {
    "an error": packed({"error": "internal"}),
    "errors": packed({"errors": [{"title": "Service is busy"}]}),
    "no success": packed({"success": False}),
    "a status that says error": packed({"status": "error", "message": "internal"}),
    "a status inside": packed({"statusCode": 500, "body": packed(TAGGED).decode()}),
    "a problem": packed({"type": "about:blank", "title": "Internal Server Error", "status": 500}),
    "a fault of the gateway": packed({"fault": {"faultstring": "Quota violation"}}),
    "a queue's receipt": packed({"queued": True, "id": "9f"}),
    "an answer wrapped": packed({"data": TAGGED}),
    "a change wrapped": packed({"data": CHANGED}),
    "a change that is no object": packed({"properties": "ok"}),
    "a change and errors": packed({**CHANGED, "errors": [{"code": "tag-limit", "title": "too many tags"}]}),
    "errors that name nobody": packed({**TAGGED, "error_count": 2}),
    "a list that is a number": packed({**TAGGED, "errors": 0}),
    "a list that is missing": packed({"members_added": [], "members_removed": []}),
    "a list that is null": packed({**TAGGED, "errors": None}),
    "errors of another shape": packed({**TAGGED, "errors": ["Invalid"]}),
    "errors in capitals": packed({name.upper(): value for name, value in TAGGED.items()}),
}


class Mailchimp(MailchimpKit):
    __test__ = False
    corpus: ClassVar = {**EMPTY, **NO_OBJECT, **OTHER_OBJECTS, "nothing in an object": b"{}"}


class OneSignal(OneSignalKit):
    """Its description requires nothing of the object that repeats the change: an empty one is an answer."""

    __test__ = False
    corpus: ClassVar = {**EMPTY, **NO_OBJECT, **OTHER_OBJECTS}


class Webhook(WebhookKit):
    """An empty answer and any object are success, as interfaces.md fixes it: but for rejections that cannot be read."""

    __test__ = False
    corpus: ClassVar = {
        **NO_OBJECT,
        "rejections in a text": packed({"rejected": "p1"}),
        "rejections by id only": packed({"rejected": ["p1"]}),
        "a rejection without its list": packed({"rejected": {"id": "p1"}}),
        "rejections of nobody known by name": packed({"rejected": [{"key": "p1"}]}),
        "a count of rejections": packed({"rejected": 2}),
    }


CASES = [(kit, name) for kit in (Mailchimp, OneSignal, Webhook) for name in kit.corpus]


def test_the_corpus_is_a_corpus() -> None:
    assert all(len(kit.corpus) >= 50 for kit in (Mailchimp, OneSignal, Webhook))


@pytest.mark.parametrize(("kit", "name"), CASES, ids=[f"{kit.__name__}: {name}" for kit, name in CASES])
@pytest.mark.parametrize("status", [200, 202])
async def test_no_such_answer_is_success(kit: type[HttpConnectorContract], name: str, status: int) -> None:
    async with kit().staged() as stage:
        audience = await stage.connector.ensure_audience("vip")
        for batch in (stage.one_batch(), stage.one_batch(removing=True)):
            with stage.wire.answering(status, kit.corpus[name], content_type="application/json"):
                assert not await done(stage, audience, batch), f"{name} counted as success"


async def done(stage: Any, audience: Any, batch: Batch) -> list[str]:
    """Who counts as done. Nobody may count as refused either: they are still to be done."""
    try:
        outcomes = await stage.apply(audience, batch)
    except TransientError as error:
        assert error.sent, "the request was made"
        return []
    return [key for key, outcome in outcomes.items() if outcome.kind in DONE]
