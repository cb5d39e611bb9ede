"""People as Google takes them."""

from __future__ import annotations

from typing import Any

from hub.sdk import Person

CONTACTS = ("email", "phone")
DEVICES = ("ad_id",)
SIGNALS = ("adUserData", "adPersonalization")
# An address is found only by all its parts.
ADDRESS = {
    "givenName": "google.given_name",
    "familyName": "google.family_name",
    "regionCode": "google.region",
    "postalCode": "google.postal_code",
}


def member(person: Person, *, consenting: bool) -> dict[str, Any]:
    """One identifier, and the address where it is whole. Consent is said of whoever is added, and what is not known to
    be granted is denied: nobody is sent unspecified."""
    if person.kind in DEVICES:
        data: dict[str, Any] = {"mobileData": {"mobileIds": [person.value]}}
    else:
        named = {"emailAddress": person.value} if person.kind == "email" else {"phoneNumber": person.value}
        data = {"userData": {"userIdentifiers": [named, *_addresses(person)]}}
    return {**data, "consent": _consent(person)} if consenting else data


def _consent(person: Person) -> dict[str, str]:
    granted = {name: person.signals.get(name, False) for name in SIGNALS}
    return {name: "CONSENT_GRANTED" if yes else "CONSENT_DENIED" for name, yes in granted.items()}


def _addresses(person: Person) -> list[dict[str, Any]]:
    address = {name: str(person.fields.get(name) or "") for name in ADDRESS}
    return [{"address": address}] if all(address.values()) else []
