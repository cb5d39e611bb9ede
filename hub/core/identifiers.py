"""The only code that normalises an identifier and the only code that hashes one.

Two spellings of the same address must become one value everywhere: at import, when consent is recorded, in a lookup.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import phonenumbers
from email_validator import EmailNotValidError, validate_email

EXTERNAL_ID = "id"
IDENTIFIER_TRAITS = ("email", "phone", "device_id", "ad_id", "push_token", "user_id")
KINDS = (EXTERNAL_ID, *IDENTIFIER_TRAITS)

LONGEST = 4096
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ANY_DIGIT = re.compile(r"[1-9a-fA-F]")
SUBJECT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Pepper:
    """A secret text that keys the hash, so that nobody without it can test a guess against the ledger.

    All peppers are of one length. A short one (22 characters hold 128 bits) leaves most identifiers in one block of
    the hash, which halves its cost.
    """

    text: str = field(repr=False)


def subject(pepper: Pepper, kind: str, value: str) -> bytes:
    """The 16 bytes under which the ledger knows a normalised identifier.

    One plain hash with the secret in front is enough. What HMAC's second hash guards against is extending a hash that
    was seen without knowing the secret, and that takes all of the hash's state: half of it is thrown away here.
    """
    return hashlib.sha256(f"{pepper.text}{kind}:{value}".encode()).digest()[:SUBJECT_BYTES]


def subjects(pepper: Pepper, kind: str, values: Iterable[str]) -> list[bytes]:
    """`subject` of many normalised identifiers of one kind."""
    begun, found = hashlib.sha256(f"{pepper.text}{kind}:".encode()), []
    for value in values:
        # A copy costs less than a new hash.
        one = begun.copy()
        one.update(value.encode())
        found.append(one.digest()[:SUBJECT_BYTES])
    return found


def subject_sql(kind: str, value: str, dialect: str = "duckdb") -> str:
    """The SQL expression equal to `subject`, over SQL expressions for kind and value; needs `subject_params`."""
    keyed = f"CAST($pepper AS VARCHAR) || {kind} || ':' || {value}"
    if dialect == "postgres":
        return f"substring(sha256(convert_to({keyed}, 'UTF8')) FROM 1 FOR {SUBJECT_BYTES})"
    return f"unhex(left(sha256({keyed}), {2 * SUBJECT_BYTES}))"


def subject_params(pepper: Pepper) -> dict[str, str]:
    return {"pepper": pepper.text}


def normalise(kind: str, value: str, region: str | None = None) -> str:
    """The one spelling of an identifier. `region` (such as `DE`) reads phone numbers that lack a country code.

    Raises ValueError with a reason that does not repeat the value.
    """
    if kind not in KINDS:
        raise ValueError(f"is no kind of identifier: use one of {', '.join(KINDS)}")
    trimmed = value.strip()
    if not trimmed:
        raise ValueError("is empty")
    if len(trimmed) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    if CONTROL.search(trimmed):
        raise ValueError("holds control characters")
    if kind == "phone":
        return _phone(trimmed, region)
    return SPELLINGS.get(kind, _opaque)(trimmed)


def _email(text: str) -> str:
    try:
        valid = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise ValueError("is not an e-mail address") from None
    return unicodedata.normalize("NFC", valid.normalized.lower())


def _phone(text: str, region: str | None) -> str:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as problem:
        if problem.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE and region is None:
            raise ValueError("has no country code: write it as +49…, or name a default region") from None
        raise ValueError("is not a phone number") from None
    if number.extension:
        raise ValueError("has an extension, which cannot be dialled directly")
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise ValueError("has too few or too many digits for its country")
    spelled = str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    # Dropping one trunk digit may leave another: read again until nothing changes, or the next import would differ.
    return spelled if spelled == text else _phone(spelled, region)


def _ad_id(text: str) -> str:
    if not ANY_DIGIT.search(text):
        raise ValueError("is all zeros, which phones send to say that tracking is off")
    return text.lower()


def _opaque(text: str) -> str:
    return text


SPELLINGS: dict[str, Callable[[str], str]] = {"email": _email, "ad_id": _ad_id}
