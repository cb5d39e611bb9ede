"""What a marketer of that shop would set up: purposes, segments, destinations and syncs."""

from __future__ import annotations

from typing import Any

PURPOSES = {
    "newsletter": "News and offers by e-mail and push",
    "advertising": "Audiences at advertising networks",
    "personalisation": "A shop front that knows its visitor",
}

# key → (name, rule). The clock of every rule is the date the demo has stepped to.
SEGMENTS = {
    "new": ("New customers", "signed_up_at in last 30 days"),
    "repeat": ("Bought again", "count(purchase) >= 2"),
    "loyal": ("Loyal", "count(purchase, last 180 days) >= 3 and did(purchase, last 60 days)"),
    "high-value": ("High value", "sum(purchase.value, last 365 days) >= 250"),
    "big-baskets": ("Big baskets", "avg(purchase.value) > 60 and count(purchase) >= 2"),
    "one-and-done": ("One and done", "count(purchase) = 1 and last(purchase) before 60 days ago"),
    "lapsing": ("Lapsing", "did(purchase, last 180 days) and not did(purchase, last 90 days)"),
    "lost": ("Lost", "did(purchase) and not did(purchase, last 180 days)"),
    "after-sales": ("After-sales", "did(purchase, last 21 days)"),
    "retargeting": (
        "Retargeting",
        'did(purchase, last 120 days) and not in segment "after-sales" and not in segment "loyal"',
    ),
    "vip-winback": ("VIP win-back", 'in segment "high-value" and in segment "lapsing"'),
}

# key → (name, connector, config). The sandbox keeps its audience in memory; the file connector writes real files.
DESTINATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mail": ("E-mail tool", "sandbox", {"account": "mail"}),
    "ads": ("Ad network", "sandbox", {"account": "ads"}),
    "push": ("Push service", "sandbox", {"account": "push"}),
    "shop": ("Shop front (CMS)", "file", {"directory": "shop", "format": "ndjson"}),
}

MAIL = {"email": "email", "first_name": "first_name"}

# (segment, destination, purpose, mapped fields). These audiences turn over with the seasons, so the brake is off for
# them: `maxRemovalShare` 1. The first has it on, and the demo shows what it does.
SYNCS = [
    ("after-sales", "mail", "newsletter", MAIL),
    ("retargeting", "ads", "advertising", {"email": "email"}),
    ("loyal", "shop", "personalisation", {"tier": "first_name"}),
    ("high-value", "mail", "newsletter", MAIL),
    ("vip-winback", "push", "newsletter", {"token": "push_token"}),
    ("one-and-done", "mail", "newsletter", MAIL),
    ("lost", "ads", "advertising", {"email": "email"}),
]
