"""A package for a connector that does not exist yet: it installs, it is found, and it keeps every promise at once."""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from string import Template

from hub.errors import ErrorCode, refuse

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
LONGEST_NAME = 40
LONGEST_TITLE = 60


def start(name: str, into: Path, *, title: str = "", taken: Collection[str] = ()) -> Path:
    """Write the package of a connector called `name` and return its folder, a new one below `into`.

    HubError INVALID for a name or title that cannot be used, CONFLICT for a name that is `taken` by an installed
    connector, or where the folder is there already.
    """
    _refuse_bad_name(name)
    if name in taken:
        raise refuse(ErrorCode.CONFLICT, f"There is a connector “{name}” installed already: choose another name.")
    words = _words(name, title.strip() or re.sub("[_-]", " ", name).title())
    folder = into / words["package"]
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        said = f"{folder} is there already: choose another name or folder; nothing is ever overwritten."
        raise refuse(ErrorCode.CONFLICT, said) from None
    for template, file in _FILES.items():
        text = (files(__package__) / f"{template}.template").read_text(encoding="utf-8")
        (folder / Template(file).substitute(words)).write_text(Template(text).substitute(words), encoding="utf-8")
    return folder


_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "connector.py": "${module}.py",
    "test.py": "test_${module}.py",
}


def _refuse_bad_name(name: str) -> None:
    if _NAME.fullmatch(name) and len(name) <= LONGEST_NAME:
        return
    said = f"A connector's name has up to {LONGEST_NAME} lower-case letters, digits, - and _, the first a letter."
    meant = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST_NAME].strip("-")
    raise refuse(ErrorCode.INVALID, said, suggestion=meant if _NAME.fullmatch(meant) else None)


def _words(name: str, title: str) -> dict[str, str]:
    if not title.isprintable() or len(title) > LONGEST_TITLE or set(title) & set('"\\'):
        said = f'A title has up to {LONGEST_TITLE} printable characters, and none of " and \\.'
        raise refuse(ErrorCode.INVALID, said)
    return {
        "key": name,
        "title": title,
        "host": name.replace("_", "-"),
        "module": f"{name.replace('-', '_')}_audiences",
        "package": f"{name.replace('_', '-')}-audiences",
        "Class": _class_name(name, title),
    }


def _class_name(name: str, title: str) -> str:
    """As the vendor spells itself, where the connector is called so: `ActiveCampaign`, and not `Activecampaign`."""
    spelled = re.sub(r"\W", "", title)
    if spelled.lower() == re.sub("[_-]", "", name):
        return spelled[0].upper() + spelled[1:]
    return "".join(part.capitalize() for part in re.split("[_-]", name))
