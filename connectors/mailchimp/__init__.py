"""Mailchimp, Marketing API 3.0: an audience is a tag (a static segment) on one list."""

from hub.sdk import hookimpl

from .config import MailchimpConfig
from .connector import Mailchimp

__all__ = ["Mailchimp", "MailchimpConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[Mailchimp]]:
    return [Mailchimp]
