"""`make demo`: set the shop up, step its clock through a year, and print what each marketing tool was told."""

from __future__ import annotations

import argparse
import csv
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deploy.demo.client import Client
from deploy.demo.marketing import DESTINATIONS, PURPOSES, SEGMENTS, SYNCS
from deploy.demo.purchases import read_purchases, write_files
from deploy.demo.server import running_hub

# Everybody's first purchase is before 25 March 1997 and the data end on 30 June 1998: a year of steps in between.
STEPS = ["1997-03-31", "1997-06-30", "1997-09-30", "1997-12-31", "1998-03-31"]
WITHDRAW_AFTER, WITHDRAWALS = 1, 200
FOLDER = Path("data/demo")

console = Console(width=None if sys.stdout.isatty() else 118, record=True)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="make demo")
    arguments.add_argument("--exit", action="store_true", help="end after printing")
    arguments.add_argument("--svg", type=Path, help="also draw what is printed, for the README")
    asked = arguments.parse_args()
    stay = not asked.exit
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True, mode=0o700)
    with running_hub(FOLDER) as hub:
        import_data(hub)
        set_up(hub)
        live_a_year(hub, asked.svg)
        say_where_to_look(hub, stay)
        if stay:
            wait_for_ctrl_c()


def import_data(hub: Client) -> None:
    console.print("\n[bold]1. Data in.[/] A CD shop: real customers and purchases, invented addresses and consents.")
    for purpose, name in PURPOSES.items():
        create(hub, "purpose", {"key": purpose, "name": name})
    for kind, path in write_files(FOLDER, read_purchases()).items():
        report = hub.import_file(kind, path)
        console.print(f"   {kind:9} {report['accepted']:7,} accepted, {report['rejected']:,} rejected")


def set_up(hub: Client) -> None:
    console.print("\n[bold]2. Segments[/] on the first day, each with its rule in plain words.")
    for key, (name, rule) in SEGMENTS.items():
        create(hub, "segment", {"key": key, "name": name, "rule": rule})
    console.print(segment_table(hub, STEPS[0]))
    for key, (name, connector, config) in DESTINATIONS.items():
        create(hub, "destination", {"key": key, "name": name, "connector": connector, "config": config})
    for segment, destination, purpose, fields in SYNCS:
        create(hub, "sync", sync_input(segment, destination, purpose, fields))


def sync_input(segment: str, destination: str, purpose: str, fields: dict[str, str]) -> dict[str, Any]:
    braked = segment == "loyal"
    names = {"key": f"{segment}-to-{destination}", "segment": segment, "destination": destination, "audience": segment}
    return {**names, "purposes": [purpose], "fields": fields, "maxRemovalShare": 0.3 if braked else 1.0}


def create(hub: Client, noun: str, values: dict[str, Any]) -> None:
    kind = f"{noun.capitalize()}CreateInput!"
    hub.graphql(f"mutation($input: {kind}) {{ {noun}Create(input: $input) {{ errors {{ message }} }} }}", input=values)


def segment_table(hub: Client, day: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title, justify in (("segment", "left"), ("people", "right"), ("who they are", "left")):
        table.add_column(title, justify=justify, style="dim" if title == "who they are" else "")
    query = """mutation($k: String!, $t: DateTime) { segmentEvaluate(key: $k, asOf: $t) {
                 segment { name explanation evaluation { size } } errors { message } } }"""
    for key in SEGMENTS:
        segment = hub.graphql(query, k=key, t=clock(day))["segmentEvaluate"]["segment"]
        table.add_row(segment["name"], f"{segment['evaluation']['size']:,}", segment["explanation"])
    return table


def live_a_year(hub: Client, picture: Path | None) -> None:
    console.print("\n[bold]3. A year of marketing.[/] At each step every audience is made equal to its segment.")
    customer: str | None = None
    for number, day in enumerate(STEPS):
        console.print(run_table(day, run_all(hub, day)))
        if number == 0:
            customer = someone_who_comes_back(STEPS[0], STEPS[1])
        if number <= 1 and customer:
            show_handover(hub, customer, day)
        if number == WITHDRAW_AFTER:
            withdraw_some(hub)
            draw(picture)


def run_all(hub: Client, day: str) -> dict[str, dict[str, Any]]:
    runs = {}
    with Progress(console=console, transient=True) as progress:
        for segment, destination, _, _ in progress.track(SYNCS, description=day):
            key = f"{segment}-to-{destination}"
            runs[key] = hub.run(key, clock(day))
            if runs[key]["status"] == "WAITING_APPROVAL":
                runs[key] = {**hub.approve(runs[key]), "approved": True}
    return runs


def run_table(day: str, runs: dict[str, dict[str, Any]]) -> Table:
    table = Table(title=f"\n{day}", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("audience at destination", min_width=25)
    for title in ("members", "stayed", "added", "removed", "withheld"):
        table.add_column(title, justify="right")
    table.add_column("why withheld, and what else happened", style="dim")
    for key, run in runs.items():
        counts = run["counts"]
        numbers = [counts[name] for name in ("members", "unchanged", "added", "removed", "withheld")]
        table.add_row(key.replace("-to-", " → "), *(f"{number:,}" for number in numbers), remarks(run))
    return table


def remarks(run: dict[str, Any]) -> str:
    why = [f"{entry['reason'].lower().replace('_', ' ')} {entry['count']:,}" for entry in run["withheld"]]
    brake = ["the brake held it until it was approved"] if run.get("approved") else []
    failure = [run["failure"]["message"]] if run["failure"] else []
    return ", ".join(why + brake + failure)


def show_handover(hub: Client, customer: str, day: str) -> None:
    """A customer in retargeting who buys again is handed over to after-sales, and the ad network forgets them."""
    query = """query($id: String!) { profile(externalId: $id) { deliveries { state sync { key } } } }"""
    deliveries = hub.graphql(query, id=customer)["profile"]["deliveries"]
    present = [entry["sync"]["key"].replace("-to-", " → ") for entry in deliveries if entry["state"] == "PRESENT"]
    console.print(
        f"   Hand-over: on {day} customer {customer} is in [bold]{', '.join(sorted(present)) or 'no audience'}[/]"
    )


def someone_who_comes_back(first: str, second: str) -> str | None:
    """A customer who is retargeted on the first day, buys shortly before the second, and said yes to both purposes."""
    last, again = {}, set()
    for purchase in read_purchases():
        if purchase.day <= first:
            last[purchase.customer] = purchase.day
        elif "1997-06-12" <= purchase.day <= second:
            again.add(f"c{purchase.customer}")
    quiet = {f"c{customer}" for customer, day in last.items() if day < "1997-03-01"}
    return min(quiet & again & consenting("newsletter") & consenting("advertising"), default=None)


def consenting(purpose: str) -> set[str]:
    with (FOLDER / "consents.csv").open() as file:
        return {row["id"] for row in csv.DictReader(file) if (row["purpose"], row["action"]) == (purpose, "grant")}


def withdraw_some(hub: Client) -> None:
    """Some customers of the ad network's audience say no; each is removed at once, by a run of its own."""
    said_no = sorted(consenting("advertising"))[:WITHDRAWALS]
    path = FOLDER / "withdrawals.csv"
    rows = [f"{customer},advertising,withdraw,preference-page" for customer in said_no]
    path.write_text("\n".join(["id,purpose,action,source", *rows]) + "\n")
    delivered = count_delivered(hub)
    report = hub.import_file("consents", path)
    console.print(
        f"\n   [bold]{report['accepted']} customers withdraw[/] their consent to advertising. Nobody has to start "
        f"a run: the ad network's audiences go from {delivered:,} people to {wait_for_removals(hub, delivered):,}."
    )


def draw(picture: Path | None) -> None:
    """What has been printed so far as an SVG that asks nobody for a font."""
    if picture:
        drawn = console.export_svg(title="make demo", clear=False)
        picture.write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL))


def count_delivered(hub: Client) -> int:
    query = "{ syncs(first: 50) { nodes { delivered destination { key } } } }"
    nodes = hub.graphql(query)["syncs"]["nodes"]
    return sum(node["delivered"] for node in nodes if node["destination"]["key"] == "ads")


def wait_for_removals(hub: Client, before: int) -> int:
    """The count once it has fallen and stood still for a second."""
    counts = [before]
    while len(counts) < 200 and not (counts[-1] < before and len(set(counts[-10:])) == 1):
        time.sleep(0.1)
        counts.append(count_delivered(hub))
    return counts[-1]


def say_where_to_look(hub: Client, stay: bool) -> None:
    console.print("\n[bold]4. Look yourself.[/]")
    console.print(f"   The shop front's files are in {FOLDER}/files/shop, one folder a run with a manifest.")
    if stay:
        console.print(f"   GraphiQL: {hub.url}/graphql   token: {hub.token}")
        console.print("   Ctrl-C stops the hub.")
    else:
        console.print("   `make demo` without EXIT=1 keeps the hub running, with GraphiQL to explore it.")


def clock(day: str) -> str:
    return f"{day}T23:59:59Z"


def wait_for_ctrl_c() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("Stopping.")


if __name__ == "__main__":
    main()
