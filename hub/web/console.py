"""GraphiQL, whole and from here: it loads nothing from elsewhere, and a strict policy keeps it so.

The page holds no data and needs no token; what is typed into its headers pane goes out with each query.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from hub.web.answers import refusal

HERE = Path(__file__).with_name("graphiql")
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
# The editor sets styles on its elements, and its style sheet carries its fonts inside.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src data:; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PACKED = frozenset(path.name.removesuffix(".gz") for path in HERE.glob("*.gz"))


async def page(request: Request) -> Response:
    """GraphiQL for a browser; everyone else is told to use POST."""
    if "query" in request.query_params or "text/html" not in request.headers.get("accept", ""):
        return refusal(
            405, "UNSUPPORTED", "Send queries by POST; open this address in a browser for GraphiQL.", {"Allow": "POST"}
        )
    return _file("index.html", "text/html; charset=utf-8", {"Content-Security-Policy": POLICY})


async def part(request: Request) -> Response:
    """One of the page's own files."""
    name = request.path_params["name"]
    kept = {"Cache-Control": "public, max-age=86400"}
    if name == "console.js":
        return _file(name, TYPES[".js"], kept)
    if name not in PACKED:
        return refusal(404, "NOT_FOUND", "There is nothing here.")
    return _file(f"{name}.gz", TYPES[Path(name).suffix], {"Content-Encoding": "gzip", **kept})


def _file(name: str, media_type: str, headers: dict[str, str]) -> Response:
    return Response((HERE / name).read_bytes(), media_type=media_type, headers=headers)
