"""Writes `schema.graphql`, the API's documentation: `python -m hub.api.export`, with `--check` to compare only."""

from __future__ import annotations

import sys
from pathlib import Path

TARGET = Path(__file__).parents[2] / "schema.graphql"


def printed() -> str:
    """The schema as the file holds it."""
    from hub.api.schema import schema

    return schema.as_str() + "\n"


def main(arguments: list[str]) -> int:
    text = printed()
    if "--check" not in arguments:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("schema.graphql is out of date: run `make schema` and commit it.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
