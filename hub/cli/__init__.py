"""The command line: prints and exit codes, no logic. Everything heavy is imported by the command that needs it.

Exit codes: 0 done, 1 refused (each problem on a line of its own on standard error), 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="hub",
    help="An audience-activation hub: makes vendors' audiences equal your segments.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
token_app = typer.Typer(help="The admin's token.", rich_markup_mode=None, no_args_is_help=True)
app.add_typer(token_app, name="token")
connector_app = typer.Typer(help="Write a connector.", rich_markup_mode=None, no_args_is_help=True)
app.add_typer(connector_app, name="connector")

Kind = Literal["profiles", "events", "consents"]
Mapping = Annotated[list[str] | None, typer.Option("--map", metavar="COLUMN=NAME", help="Read a column as this name.")]


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
) -> None:
    """Serve the API and carry out runs, in one process."""
    from hub.cli.serving import serve

    serve(host, port)


@app.command()
def worker() -> None:
    """Carry out runs only; needs stores that several processes may share."""
    from hub.cli.serving import work

    work()


@app.command()
def migrate() -> None:
    """Bring both stores to the newest schema."""
    from hub.cli.serving import migrate

    migrate()


@app.command("import")
def import_(
    kind: Annotated[Kind, typer.Argument(help="What the file holds.")],
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON or Parquet, by its ending; .gz as well.", dir_okay=False)],
    map: Mapping = None,
    snapshot: Annotated[bool, typer.Option("--snapshot", help="The file is everybody: who is missing leaves.")] = False,
    approve: Annotated[bool, typer.Option("--approve", help="Let a snapshot drop more than the usual share.")] = False,
) -> None:
    """Take in a file, through a running hub if there is one."""
    from hub.cli.asking import import_file

    import_file(kind, file, map or [], snapshot=snapshot, approve=approve)


@app.command()
def query(
    graphql: Annotated[str, typer.Argument(help="A GraphQL query or mutation; - reads it from standard input.")],
    variables: Annotated[str | None, typer.Option(metavar="JSON", help="Its variables, as a JSON object.")] = None,
) -> None:
    """Ask the hub, and print the answer as JSON."""
    from hub.cli.asking import query

    query(sys.stdin.read() if graphql == "-" else graphql, variables)


@app.command()
def run(
    sync: Annotated[str, typer.Argument(help="The key of the sync.")],
    follow: Annotated[bool, typer.Option("--follow", help="Stay until the run ends, and show how far it is.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Send everybody again, and remove every trace beyond.")] = False,
) -> None:
    """Start a run of a sync."""
    from hub.cli.asking import run

    run(sync, follow=follow, full=full)


@app.command()
def connectors() -> None:
    """List the installed connectors."""
    from hub.cli.asking import connectors

    connectors()


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="The file to write; must not exist yet.")]) -> None:
    """Write both stores, as they are at one moment, into a file."""
    from hub.cli.backups import back_up

    back_up(file)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `hub backup` wrote.", exists=True, dir_okay=False)],
) -> None:
    """Put a backup in the stores' place, while no hub runs."""
    from hub.cli.backups import restore

    restore(file)


@token_app.command("rotate")
def rotate_token() -> None:
    """Replace the admin's token and print the new one, once."""
    from hub.cli.serving import rotate_token

    rotate_token()


@connector_app.command("new")
def new_connector(
    name: Annotated[str, typer.Argument(help="What the connector is called, such as acme.")],
    title: Annotated[str, typer.Option(help="The vendor's name, for people.")] = "",
    into: Annotated[Path, typer.Option(help="The folder to make the package in.", file_okay=False)] = Path(),
) -> None:
    """Begin the package of a connector: it installs, and its tests pass."""
    from hub.cli.connecting import new

    new(name, title, into)


@connector_app.command("check")
def check_connector(
    name: Annotated[str, typer.Argument(help="An installed connector, or the folder of one.")],
) -> None:
    """Say which of its promises a connector keeps."""
    from hub.cli.connecting import check

    check(name)


def main() -> None:
    """The entry point of the `hub` command."""
    from hub.errors import HubError, StoreError

    # What this process writes is for its own user: the data folder may be one that others can list.
    os.umask(0o077)
    try:
        app()
    except HubError as error:
        from hub.cli.printing import print_problems

        print_problems(error.problems)
        sys.exit(1)
    except StoreError as error:
        print(f"UNAVAILABLE: {error} {error.advice}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
