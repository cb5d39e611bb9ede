"""How vendors want identifiers and fields spelled: normalised by their rules, and hashed once.

Named `vendor.field`, each with a version: whoever was sent under an older version is sent anew. What every spelling
makes of what is published with vectors in `docs/connectors/spellings.md`. Sources: `shared/reference/destinations.md`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hub.errors import nearest
from hub.sdk.contract import FieldValue


class Hash(StrEnum):
    """How what was normalised travels. Google's signals take both forms of SHA-256; hex is what we send."""

    NONE = "plain"
    SHA256_HEX = "sha256 hex"
    SHA256_BASE64 = "sha256 base64"


class Form(StrEnum):
    """The normal forms that the data plane knows too, for identifiers: they come normalised by `core.identifiers`."""

    AS_IS = "as is"
    GMAIL = "without the dots before @gmail.com and @googlemail.com"
    DIGITS = "digits only"
    BARE = "an address without dots and what follows a plus sign, before the @"


@dataclass(frozen=True, slots=True)
class Spelling:
    """`normal` is either a `Form`, or a function from text to text that returns "" where nothing is left."""

    normal: Form | Callable[[str], str]
    hash: Hash = Hash.SHA256_HEX
    version: int = 1

    def of(self, value: FieldValue) -> str | None:
        """What is sent for this value, None where nothing of it is left. Never hashes what is a hash already."""
        text = _text(value)
        if self.hash is not Hash.NONE and _IS_HASH.fullmatch(text):
            return _encoded(bytes.fromhex(text), self.hash)
        normal = _FORMS[self.normal](text) if isinstance(self.normal, Form) else self.normal(text)
        if not normal or self.hash is Hash.NONE:
            return normal or None
        return _encoded(hashlib.sha256(normal.encode()).digest(), self.hash)


def spelling(name: str) -> Spelling:
    """The spelling of that name; LookupError says which was probably meant."""
    if name in SPELLINGS:
        return SPELLINGS[name]
    meant = nearest(name, SPELLINGS)
    raise LookupError(f"there is no spelling {name}{f': did you mean {meant}?' if meant else ''}")


def versioned(name: str) -> str:
    """The name with its version: part of what makes a payload differ from an older one."""
    return f"{name}@{spelling(name).version}"


def spelled_sql(name: str, value: str, dialect: str = "duckdb") -> str:
    """The SQL expression equal to `Spelling.of`, over the SQL expression of a normalised identifier."""
    found = spelling(name)
    if not isinstance(found.normal, Form) or found.hash is Hash.SHA256_BASE64:
        raise LookupError(f"{name} is no spelling of an identifier")
    normal = _SQL_FORMS[found.normal].format(value=value)
    if found.hash is Hash.NONE:
        return normal
    hashed = f"encode(sha256(convert_to({normal}, 'UTF8')), 'hex')" if dialect == "postgres" else f"sha256({normal})"
    hexadecimal = f"regexp_full_match({value}, '[0-9a-fA-F]{{64}}')"
    is_hash = f"{value} ~ '^[0-9a-fA-F]{{64}}$'" if dialect == "postgres" else hexadecimal
    return f"CASE WHEN {is_hash} THEN lower({value}) ELSE {hashed} END"


_IS_HASH = re.compile(r"[0-9a-fA-F]{64}")
_GMAIL = re.compile(r"(.*)@(gmail\.com|googlemail\.com)")
_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(T.*)?")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _text(value: FieldValue) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _encoded(digest: bytes, how: Hash) -> str:
    return digest.hex() if how is Hash.SHA256_HEX else base64.b64encode(digest).decode()


def _gmail(text: str) -> str:
    whole = _GMAIL.fullmatch(text)
    return f"{whole[1].replace('.', '')}@{whole[2]}" if whole else text


def _bare(text: str) -> str:
    """An address with nothing but dots before its plus sign stays whole."""
    local, _, host = text.partition("@")
    kept = local.partition("+")[0].replace(".", "")
    return f"{kept}@{host}" if kept and host else text


def _name(text: str) -> str:
    """Lower-case without ASCII punctuation; letters of any script stay."""
    return " ".join(unicodedata.normalize("NFC", text).lower().translate(_PUNCTUATION).split())


def _trimmed(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def _letters(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFC", text).lower() if letter.isalpha())


def _zip(text: str) -> str:
    """Without spaces and dashes; of an American ZIP+4 the first five digits."""
    bare = re.sub(r"[\s-]", "", text.lower())
    return bare[:5] if re.fullmatch(r"[0-9]{9}", bare) else bare


def _country(text: str) -> str:
    code = text.strip().lower()
    return code if re.fullmatch(r"[a-z]{2}", code) else ""


def _gender(text: str) -> str:
    word = text.strip().lower()
    return word[0] if word in {"m", "f", "male", "female"} else ""


def _part(place: int, width: int) -> Callable[[str], str]:
    """A part of an ISO date, or the number itself with leading zeros."""

    def of(text: str) -> str:
        whole = _ISO_DATE.fullmatch(text.strip())
        digits = whole[place] if whole else text.strip()
        return digits.zfill(width) if digits.isdecimal() and len(digits) <= width else ""

    return of


_FORMS: Mapping[Form, Callable[[str], str]] = {
    Form.AS_IS: str.strip,
    Form.GMAIL: _gmail,
    Form.BARE: _bare,
    Form.DIGITS: lambda text: re.sub(r"[^0-9]", "", text),
}
_LOCAL = "replace(split_part(split_part({value}, '@', 1), '+', 1), '.', '')"
_SQL_FORMS: Mapping[Form, str] = {
    Form.AS_IS: "{value}",
    Form.GMAIL: "CASE WHEN right({value}, 10) = '@gmail.com' OR right({value}, 15) = '@googlemail.com' "
    "THEN concat(replace(split_part({value}, '@', 1), '.', ''), '@', split_part({value}, '@', 2)) ELSE {value} END",
    Form.BARE: f"CASE WHEN {_LOCAL} = '' THEN {{value}} ELSE concat({_LOCAL}, '@', split_part({{value}}, '@', 2)) END",
    Form.DIGITS: "replace({value}, '+', '')",
}

SPELLINGS: Mapping[str, Spelling] = {
    "meta.email": Spelling(Form.AS_IS),
    "meta.phone": Spelling(Form.DIGITS),
    # Mobile ids and ids of the advertiser's own are the only keys that Meta takes unhashed.
    "meta.ad_id": Spelling(Form.AS_IS, Hash.NONE),
    "meta.external_id": Spelling(Form.AS_IS, Hash.NONE),
    "meta.first_name": Spelling(_name),
    "meta.last_name": Spelling(_name),
    "meta.first_initial": Spelling(lambda text: _name(text)[:1]),
    "meta.city": Spelling(_letters),
    "meta.state": Spelling(_letters),
    "meta.zip": Spelling(_zip),
    "meta.country": Spelling(_country),
    "meta.gender": Spelling(_gender),
    "meta.birth_year": Spelling(_part(1, 4)),
    "meta.birth_month": Spelling(_part(2, 2)),
    "meta.birth_day": Spelling(_part(3, 2)),
    # Google's own formatter (data-manager-python, 2025-12) drops the dots and keeps what follows a plus sign.
    "google.email": Spelling(Form.GMAIL),
    "google.phone": Spelling(Form.AS_IS),
    "google.ad_id": Spelling(Form.AS_IS, Hash.NONE),
    "google.given_name": Spelling(_trimmed),
    "google.family_name": Spelling(_trimmed),
    "google.region": Spelling(lambda text: _country(text).upper(), Hash.NONE),
    "google.postal_code": Spelling(Form.AS_IS, Hash.NONE),
    "linkedin.email": Spelling(Form.AS_IS),
    "linkedin.ad_id": Spelling(Form.AS_IS, Hash.NONE),
    # TikTok's partners disagree on dots and what follows a plus sign; its page asks for no more than trim and lower.
    "tiktok.email": Spelling(Form.AS_IS),
    "tiktok.phone": Spelling(Form.AS_IS),
    "tiktok.ad_id": Spelling(Form.AS_IS),
    # Digits alone, with the country code: as for its Conversions API.
    "snapchat.email": Spelling(Form.AS_IS),
    "snapchat.phone": Spelling(Form.DIGITS),
    "snapchat.ad_id": Spelling(Form.AS_IS),
    "pinterest.email": Spelling(Form.AS_IS),
    "pinterest.ad_id": Spelling(Form.AS_IS),
    # Its page says SHA-256 of the address and no more; what it asks of enhanced conversions is `bare.email`.
    "microsoft.email": Spelling(Form.AS_IS),
    "microsoft.phone": Spelling(Form.AS_IS),
    "bare.email": Spelling(Form.BARE),
    "sha256.email": Spelling(Form.AS_IS),
    "sha256.phone": Spelling(Form.AS_IS),
    "sha256.ad_id": Spelling(Form.AS_IS),
}
"""The `sha256.` spellings are for any vendor that wants the hub's own normal form hashed; `bare.` for those who want
addresses without dots and what follows a plus sign."""


def unknown_spellings(names: Iterable[str]) -> list[str]:
    """What is wrong with the spellings that a connector names."""
    problems = []
    for name in names:
        try:
            spelling(name)
        except LookupError as error:
            problems.append(str(error))
    return problems
