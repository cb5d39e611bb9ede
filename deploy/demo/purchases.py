"""The CDNOW purchase histories as the three files an admin would import.

The data come with the `lifetimes` package: every customer who first bought between January and 25 March 1997, and all
their purchases until 30 June 1998 (69,659 lines; 255 are true duplicates and 80 cost nothing: both stay). Addresses,
names and consents are invented, the same at every run.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

NAMES = (
    "Ada Ben Cleo Dora Emil Fay Gil Hana Ivo Jo Kim Leo Mia Noor Olga Pia Quinn Rosa Sol Tom Uma Vito Wim Zoe".split()
)
COUNTRIES = "US US US US CA CA GB DE FR JP".split()

# Share of customers who said yes and no to each purpose; the rest were never asked, which means no.
ANSWERS = {"newsletter": (0.62, 0.12), "advertising": (0.41, 0.28), "personalisation": (0.55, 0.15)}


@dataclass(frozen=True, slots=True)
class Purchase:
    customer: str
    day: str
    discs: int
    value: float


def read_purchases() -> list[Purchase]:
    """Every line of the data set, in its order."""
    package = find_spec("lifetimes")
    if package is None or package.origin is None:
        raise SystemExit("The data set is not installed: run `make demo`, which fetches it.")
    lines = (Path(package.origin).parent / "datasets" / "CDNOW_master.txt").read_text().splitlines()[1:]
    return [_purchase(*line.split()) for line in lines if line.strip()]


def write_files(folder: Path, purchases: list[Purchase]) -> dict[str, Path]:
    """Write profiles.csv, events.csv and consents.csv; each kind's path."""
    customers = sorted({purchase.customer for purchase in purchases})
    joined = {purchase.customer: purchase.day for purchase in reversed(purchases)}
    tables = {
        "profiles": (
            ["id", "email", "push_token", "first_name", "country", "signed_up_at"],
            _profiles(customers, joined),
        ),
        "events": (["profile_id", "ts", "name", "discs", "value"], _events(purchases)),
        "consents": (["id", "purpose", "action", "source", "effective_at"], _consents(customers)),
    }
    return {kind: _write(folder / f"{kind}.csv", header, rows) for kind, (header, rows) in tables.items()}


def chance(customer: str, topic: str) -> float:
    """A number in [0, 1) that is always the same for this customer and topic."""
    return int.from_bytes(hashlib.sha256(f"{topic}:{customer}".encode()).digest()[:6]) / 2**48


def _purchase(customer: str, day: str, discs: str, value: str) -> Purchase:
    return Purchase(customer, f"{day[:4]}-{day[4:6]}-{day[6:]}", int(discs), float(value))


def _profiles(customers: list[str], joined: dict[str, str]) -> Iterator[list[object]]:
    for customer in customers:
        name = NAMES[int(chance(customer, "name") * len(NAMES))]
        country = COUNTRIES[int(chance(customer, "country") * len(COUNTRIES))]
        yield [
            f"c{customer}",
            f"{name.lower()}.{customer}@example.com",
            f"push-{customer}",
            name,
            country,
            joined[customer],
        ]


def _events(purchases: list[Purchase]) -> Iterator[list[object]]:
    for purchase in purchases:
        yield [f"c{purchase.customer}", purchase.day, "purchase", purchase.discs, purchase.value]


def _consents(customers: list[str]) -> Iterator[list[object]]:
    for purpose, (yes, no) in ANSWERS.items():
        for customer in customers:
            answer = chance(customer, purpose)
            if answer < yes + no:
                action = "grant" if answer < yes else "deny"
                yield [f"c{customer}", purpose, action, "account-settings", "1997-01-01T00:00:00Z"]


def _write(path: Path, header: list[str], rows: Iterator[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path
