"""Normalising whole columns of identifiers: the plain ones at once in Arrow, the rest one distinct value at a time.

A fast path is a pattern whose matches `normalise` is known to leave as they are (e-mail: but for upper case).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

from hub.core.identifiers import LONGEST, normalise

LABEL = r"[a-z0-9](?:-?[a-z0-9])*"
PLAIN_EMAIL = rf"^[a-z0-9_+-]{{1,20}}(?:\.[a-z0-9_+-]{{1,20}}){{0,2}}@(?:{LABEL}\.)+[a-z]{{2,12}}$"
RESERVED_DOMAIN = rf"[@.](?:{'|'.join(SPECIAL_USE_DOMAIN_NAMES)})$"
PLAIN_OPAQUE = r"^[!-~]+$"
PLAIN_AD_ID = r"^[0-9a-f-]*[1-9a-f][0-9a-f-]*$"
LONGEST_PLAIN = 60


@dataclass(frozen=True, slots=True)
class Normalised:
    """`values` is null where the input was null or empty, or where `reasons` (position → reason) refuses it."""

    values: pa.Array
    reasons: dict[int, str]


def normalise_column(kind: str, column: pa.Array, region: str | None = None) -> Normalised:
    """Every value of a text column as `normalise` spells it."""
    lowered = pc.ascii_lower(pc.ascii_trim_whitespace(column)) if kind == "email" else column
    plain = pc.fill_null(pc.and_(_plain(kind, lowered), _short(kind, column)), False)
    if pc.all(plain, min_count=0).as_py():
        return Normalised(lowered, {})
    return _mixed(kind, column, lowered, plain, region)


def _plain(kind: str, column: pa.Array) -> pa.Array:
    if kind == "email":
        shaped = pc.match_substring_regex(column, PLAIN_EMAIL)
        return pc.and_not(shaped, pc.match_substring_regex(column, RESERVED_DOMAIN))
    if kind == "phone":
        return pc.match_substring_regex(column, e164_pattern())
    return pc.match_substring_regex(column, PLAIN_AD_ID if kind == "ad_id" else PLAIN_OPAQUE)


def _short(kind: str, column: pa.Array) -> pa.Array:
    return pc.less_equal(pc.binary_length(column), LONGEST_PLAIN if kind == "email" else LONGEST)


def _mixed(kind: str, column: pa.Array, lowered: pa.Array, plain: pa.Array, region: str | None) -> Normalised:
    positions = pc.indices_nonzero(pc.invert(plain))
    rest = column.take(positions)
    spelled: dict[str | None, tuple[str | None, str | None]] = {None: (None, None), "": (None, None)}
    reasons: dict[int, str] = {}
    values: list[str | None] = []
    for position, text in zip(positions.to_pylist(), rest.to_pylist(), strict=True):
        if text not in spelled:
            spelled[text] = _spell(kind, text, region)
        value, reason = spelled[text]
        values.append(value)
        if reason:
            reasons[position] = reason
    mask = pc.invert(plain)
    return Normalised(pc.replace_with_mask(lowered, mask, pa.array(values, lowered.type)), reasons)


def _spell(kind: str, text: str, region: str | None) -> tuple[str | None, str | None]:
    try:
        return normalise(kind, text, region), None
    except ValueError as reason:
        return None, str(reason)


@cache
def e164_pattern() -> str:
    """Matches numbers that are already E.164 and possible: country by country, the lengths it uses, without a leading
    trunk digit. Countries whose trunk prefixes are not one digit are left to the scalar path."""
    countries = (_country_pattern(code, regions[0]) for code, regions in sorted(COUNTRY_CODE_TO_REGION_CODE.items()))
    return rf"^\+(?:{'|'.join(pattern for pattern in countries if pattern)})$"


def _country_pattern(code: int, region: str) -> str:
    metadata: Any = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    trunk = metadata.national_prefix_for_parsing
    if metadata.national_prefix_transform_rule or (trunk and len(trunk) > 1):
        return ""
    first = "".join(digit for digit in "123456789" if digit != trunk)
    lengths = "|".join(rf"\d{{{length - 1}}}" for length in metadata.general_desc.possible_length)
    return f"{code}[{first}](?:{lengths})"
