"""Answers with status 2xx that are no success: a corpus against every connector that speaks HTTP."""

from __future__ import annotations

import gzip
import json
from itertools import cycle
from typing import Any, ClassVar

import pytest

from hub.sdk import Batch, TransientError
from hub.sdk.testing import HttpConnectorContract
from hub.sdk.testing.stage import DONE
from tests.connectors.test_activecampaign import TestActiveCampaign as ActiveCampaignKit
from tests.connectors.test_braze import TestBraze as BrazeKit
from tests.connectors.test_brevo import TestBrevo as BrevoKit
from tests.connectors.test_contentful import TestContentful as ContentfulKit
from tests.connectors.test_emarsys import TestEmarsys as EmarsysKit
from tests.connectors.test_google import TestGoogle as GoogleKit
from tests.connectors.test_hubspot import TestHubSpot as HubSpotKit
from tests.connectors.test_iterable import TestIterable as IterableKit
from tests.connectors.test_klaviyo import TestKlaviyo as KlaviyoKit
from tests.connectors.test_linkedin import TestLinkedIn as LinkedInKit
from tests.connectors.test_mailchimp import TestMailchimp as MailchimpKit
from tests.connectors.test_meta import TestMeta as MetaKit
from tests.connectors.test_microsoft import TestMicrosoft as MicrosoftKit
from tests.connectors.test_onesignal import TestOneSignal as OneSignalKit
from tests.connectors.test_pinterest import TestPinterest as PinterestKit
from tests.connectors.test_sendgrid import TestSendGrid as SendGridKit
from tests.connectors.test_sfmc import TestMarketingCloud as MarketingCloudKit
from tests.connectors.test_snapchat import TestSnapchat as SnapchatKit
from tests.connectors.test_tiktok import TestTikTok as TikTokKit
from tests.connectors.test_tradedesk import TestTradeDesk as TradeDeskKit
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


ALL_OF_THEM = {**EMPTY, **NO_OBJECT, **OTHER_OBJECTS, "nothing in an object": b"{}"}


class ActiveCampaign(ActiveCampaignKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "an import without its number": packed({"success": 1, "queued_contacts": 1, "batchId": ""}),
        "contacts without a word on tags": packed({"contacts": [{"id": "1", "email": "ann@kit.example"}]}),
        "tags without contacts": packed({"contactTags": []}),
    }


class Mailchimp(MailchimpKit):
    __test__ = False
    corpus: ClassVar = ALL_OF_THEM


class Braze(BrazeKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "fewer than were sent": packed({"message": "success", "attributes_processed": 0}),
        "queued": packed({"message": "queued"}),
        "errors without a place": packed({"message": "success", "attributes_processed": 2, "errors": ["minor"]}),
        "errors of another shape than the others": packed({"message": "success", "errors": [7]}),
        "another message": packed({"message": "successful"}),
    }


class Brevo(BrevoKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "nobody done": packed({"contacts": {"failure": []}}),
        "done that is a text": packed({"contacts": {"success": "ann@kit.example"}}),
    }


class Contentful(ContentfulKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "profiles of others": packed({"data": {"profiles": []}, "error": None, "message": "ok"}),
        "what the asynchronous endpoint says": packed({"data": {}, "error": None, "message": "accepted"}),
        "an envelope with an error": packed({"data": {}, "error": {"code": "ERR_INVALID_DATA"}, "message": "no"}),
    }


class HubSpot(HubSpotKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "a batch that is not over": packed({"status": "PENDING", "results": [], "startedAt": "x", "completedAt": "x"}),
        "a batch without results": packed({"status": "COMPLETE"}),
        "memberships half said": packed({"recordsIdsAdded": ["101"], "recordIdsRemoved": []}),
        "a problem": packed({"status": "error", "message": "no", "category": "VALIDATION_ERROR"}),
    }


class Iterable(IterableKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "nobody counted": packed({"successCount": 0, "failCount": 0}),
        "failures that name nobody": packed({"successCount": 0, "failCount": 2, "failedUpdates": {}}),
        "a count below nothing": packed({"successCount": 2, "failCount": -1}),
        "a count without the other": packed({"successCount": 2}),
        "failures in a text": packed({"successCount": 2, "failCount": 0, "failedUpdates": "none"}),
        "a code and no counts": packed({"code": "Success", "msg": "", "params": None}),
    }


class Klaviyo(KlaviyoKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "a job without an id": packed({"data": {"type": "profile-bulk-import-job", "attributes": {}}}),
        "a job of another kind": packed(
            {"data": {"type": "list", "id": "1", "attributes": {"status": "complete", "total_count": 9}}}
        ),
        "a status that nobody knows": packed(
            {
                "data": {
                    "type": "profile-bulk-import-job",
                    "id": "1",
                    "attributes": {"status": "done", "total_count": 9},
                }
            }
        ),
        "nobody found, of nothing": packed({"data": None}),
        "errors": packed({"errors": [{"code": "invalid", "detail": "no"}]}),
    }


class SendGrid(SendGridKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "a job without a number": packed({"job_id": ""}),
        "a job that is nothing": packed({"job_id": None}),
        "a search that found nobody": packed({"result": {}}),
    }


class Meta(MetaKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "counts and no audience": packed({"num_received": 2, "num_invalid_entries": 0}),
        "a count below nothing": packed({"audience_id": "1", "num_received": -1, "num_invalid_entries": 0}),
        "fewer than were sent": packed({"audience_id": "1", "num_received": 0, "num_invalid_entries": 0}),
        "an error of no known code": packed({"error": {"code": 987654, "message": "?"}}),
    }


class Microsoft(MicrosoftKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "errors of nobody": packed({"PartialErrors": [{"Code": 8006, "Message": "?"}]}),
        "errors of others": packed({"PartialErrors": [{"Index": 9, "Code": 8006}]}),
        "errors in a text": packed({"PartialErrors": "none"}),
        "errors without a code": packed({"PartialErrors": [{"Index": 0}]}),
    }


class Emarsys(EmarsysKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "a reply without data": packed({"replyCode": 0, "replyText": "OK"}),
        "data without a reply": packed({"data": {"ids": [], "inserted_contacts": 2, "deleted_contacts": 1}}),
        "a text for data": packed({"replyCode": 0, "replyText": "OK", "data": ""}),
        "nobody counted": packed({"replyCode": 0, "replyText": "OK", "data": {"errors": []}}),
        "errors in a list": packed(
            {"replyCode": 0, "data": {"ids": [], "inserted_contacts": 2, "deleted_contacts": 1, "errors": ["no"]}}
        ),
        "an internal error": packed({"replyCode": 1003, "replyText": "Internal error", "data": ""}),
    }


class Google(GoogleKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "a request without a number": packed({"requestId": ""}),
        "a number and no request": packed({"request": "r1"}),
    }


class LinkedIn(LinkedInKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "no rows": packed({"elements": []}),
        "more rows than were sent": packed({"elements": [{"status": 201}] * 3}),
        "rows without a status": packed({"elements": [{}, {}]}),
    }


class Pinterest(PinterestKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "a list without a name": packed({"id": "643", "status": "PROCESSING"}),
        "lists that are no lists": packed({"items": [{"name": "vip"}], "bookmark": None}),
        "a page without items": packed({"bookmark": None}),
        "lists without names": packed({"items": [{"id": "9", "name": None}]}),
    }


class Snapchat(SnapchatKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "a success without its parts": packed({"request_status": "SUCCESS"}),
        "a success with no part": packed({"request_status": "SUCCESS", "users": []}),
        "a part that failed": packed({"request_status": "SUCCESS", "users": [{"sub_request_status": "ERROR"}]}),
        "a part without a word": packed(
            {"request_status": "SUCCESS", "users": [{"user": {"number_uploaded_users": 2}}]}
        ),
    }


class TikTok(TikTokKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "a message without a code": packed({"message": "OK", "data": {}}),
        "in part": packed({"code": 20001, "message": "Partial success"}),
        "an error of theirs": packed({"code": 50000, "message": "System error"}),
        "a code in a text": packed({"code": "OK", "message": "OK"}),
    }


class TradeDesk(TradeDeskKit):
    """It says an empty object where it took everybody."""

    __test__ = False
    corpus: ClassVar = {
        **EMPTY,
        **NO_OBJECT,
        **OTHER_OBJECTS,
        "lines that failed and a word besides": packed({"FailedLines": [], "Message": "Accepted"}),
        "lines in a text": packed({"FailedLines": "none"}),
        "lines of others": packed({"FailedLines": [{"ErrorCode": "MissingUserId", "ItemNumber": "9"}]}),
        "a line whose number is none": packed({"FailedLines": [{"ErrorCode": "MissingUserId", "ItemNumber": "one"}]}),
    }


class OneSignal(OneSignalKit):
    """Its description requires nothing of the object that repeats the change: an empty one is an answer."""

    __test__ = False
    corpus: ClassVar = {**EMPTY, **NO_OBJECT, **OTHER_OBJECTS}


class MarketingCloud(MarketingCloudKit):
    __test__ = False
    corpus: ClassVar = {
        **ALL_OF_THEM,
        "a request without a number": packed({"requestId": "", "resultMessages": []}),
        "messages and no request": packed({"resultMessages": [{"message": "no"}]}),
    }


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


KITS = (
    ActiveCampaign,
    Braze,
    Brevo,
    Contentful,
    Emarsys,
    Google,
    HubSpot,
    Iterable,
    Klaviyo,
    LinkedIn,
    Mailchimp,
    MarketingCloud,
    Meta,
    Microsoft,
    OneSignal,
    Pinterest,
    SendGrid,
    Snapchat,
    TikTok,
    TradeDesk,
    Webhook,
)


def test_the_corpus_is_a_corpus() -> None:
    assert all(len(kit.corpus) >= 50 for kit in KITS)


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.__name__)
async def test_no_such_answer_is_success(kit: type[HttpConnectorContract]) -> None:
    async with kit().staged() as stage:
        audience = await stage.connector.ensure_audience("vip")
        batches, before = (stage.one_batch(), stage.one_batch(removing=True)), len(stage.wire.requests)
        for (name, body), status in zip(kit.corpus.items(), cycle([200, 202])):
            for batch in batches:
                with stage.wire.answering(status, body, content_type="application/json"):
                    assert not await done(stage, audience, batch), f"{name} counted as success"
        assert len(stage.wire.requests) - before >= 2 * len(kit.corpus), "each is asked for"


async def done(stage: Any, audience: Any, batch: Batch) -> list[str]:
    """Who counts as done. Nobody may count as refused either: they are still to be done."""
    try:
        outcomes = await stage.apply(audience, batch)
    except TransientError as error:
        assert error.sent, "the request was made"
        return []
    return [key for key, outcome in outcomes.items() if outcome.kind in DONE]
