"""The ledger: takes entries only, numbers them in the order of their commits, and knows a repeat when it sees one."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pyarrow as pa
import pytest

from hub.core.records import ConsentAction
from hub.store import Store, StoreError
from hub.store.ledger import CHUNK, LOOKUP
from hub.store.ledger_rows import GIVEN
from tests.store.rows import NOON, after, entry, person

WITHDRAW, DENY = ConsentAction.WITHDRAW, ConsentAction.DENY


async def test_an_entry_comes_back_as_it_went_in(store: Store) -> None:
    told = entry(1, evidence={"form": "news", "ip": None}, expires_at=after(60), entry_id="e-1")
    assert (await store.ledger.append([told], recorded_at=after(5))).seqs == (1,)
    (found,) = await store.ledger.for_subjects([person(1)])
    same = ("subject", "purpose", "action", "source", "effective_at", "expires_at", "evidence", "entry_id")
    assert [getattr(found, name) for name in same] == [getattr(told, name) for name in same]
    assert (found.seq, found.recorded_at) == (1, after(5))


async def test_identical_content_is_a_no_op(store: Store) -> None:
    await store.ledger.append([entry(1), entry(2)], recorded_at=NOON)
    again = await store.ledger.append([entry(2), entry(3), entry(3)], recorded_at=after(9))
    assert (again.seqs, again.unchanged, again.conflicts) == ((2, 3, 3), 2, ())
    assert await store.ledger.head() == 3


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "m"},
        {"source": "x"},
        {"action": DENY},
        {"effective_at": after(1)},
        {"effective_at": None},
        {"expires_at": after(1)},
        {"evidence": {}},
        {"subject": person(2)},
        {"purpose": "marketingf", "source": "orm"},
    ],
)
async def test_any_difference_in_content_is_another_entry(store: Store, change: dict) -> None:
    both = [entry(1), replace(entry(1), **change)]
    assert (await store.ledger.append(both, recorded_at=NOON)).seqs == (1, 2)


async def test_an_entry_id_makes_a_repeat_known_even_for_equal_content(store: Store) -> None:
    told = [entry(1, entry_id="a"), entry(1, entry_id="b"), entry(1, entry_id="a")]
    assert (await store.ledger.append(told, recorded_at=NOON)).seqs == (1, 2, 1)


async def test_a_grant_under_a_taken_entry_id_is_not_taken(store: Store) -> None:
    await store.ledger.append([entry(1, entry_id="a")], recorded_at=NOON)
    done = await store.ledger.append([entry(2), entry(3, entry_id="a")], recorded_at=NOON)
    assert (done.seqs, done.unchanged, done.conflicts) == ((2, 1), 0, (1,))
    assert await store.ledger.for_subjects([person(3)]) == []


@pytest.mark.parametrize("action", [DENY, WITHDRAW])
async def test_a_denial_is_taken_whatever_its_entry_id_stands_for(store: Store, action: ConsentAction) -> None:
    await store.ledger.append([entry(1, entry_id="a")], recorded_at=NOON)
    denial = entry(1, action, entry_id="a")
    done = await store.ledger.append([denial, denial], recorded_at=NOON)
    assert (done.seqs, done.conflicts) == ((2, 2), ())
    assert [found.action for found in await store.ledger.for_subjects([person(1)])] == [ConsentAction.GRANT, action]
    assert (await store.ledger.append([denial], recorded_at=after(9))).unchanged == 1


async def test_a_decision_without_an_instant_holds_from_its_recording(store: Store) -> None:
    await store.ledger.append([entry(1, WITHDRAW, effective_at=None)], recorded_at=after(7))
    (found,) = await store.ledger.for_subjects([person(1)])
    assert found.effective_at == found.recorded_at == after(7)


async def test_history_is_of_the_purpose_asked_for(store: Store) -> None:
    told = [entry(1), entry(1, purpose="ads"), entry(2)]
    await store.ledger.append(told, recorded_at=NOON)
    assert [one.seq for one in await store.ledger.for_subjects([person(1), person(2)])] == [1, 2, 3]
    assert [one.seq for one in await store.ledger.for_subjects([person(1)], "ads")] == [2]
    assert await store.ledger.for_subjects([]) == []


async def test_a_table_goes_in_across_transactions_and_comes_out_in_order(store: Store) -> None:
    size = CHUNK + 10
    done = await store.ledger.append_table(statements(range(size)), recorded_at=NOON)
    assert done.seqs == tuple(range(1, size + 1))
    assert done.entries == await store.ledger.since(0, size)
    again = await store.ledger.append_table(statements([*range(size), "new"]), recorded_at=after(1))
    assert (again.unchanged, again.seqs[-1], await store.ledger.head()) == (size, size + 1, size + 1)
    assert again.entries is None
    some = await store.ledger.since(CHUNK, 5)
    assert some["seq"].to_pylist() == list(range(CHUNK + 1, CHUNK + 6))
    assert some["subject"].to_pylist()[0] == person(CHUNK)
    assert some["effective_at"].to_pylist()[0] == NOON.replace(tzinfo=None)
    assert (await store.ledger.since(size + 1)).num_rows == 0


@pytest.mark.skipif(os.environ.get("HUB_TEST_DATABASE") == "postgres", reason="PostgreSQL always looks")
async def test_a_long_table_of_new_entries_is_taken_without_looking_for_each(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(store.ledger, "_what_is_new", None)
    assert (await store.ledger.append_table(statements(range(LOOKUP)), recorded_at=NOON)).unchanged == 0


async def test_of_a_long_table_only_what_is_new_is_taken(store: Store) -> None:
    await store.ledger.append_table(statements([LOOKUP - 1]), recorded_at=NOON)
    done = await store.ledger.append_table(statements([*range(LOOKUP), 0]), recorded_at=NOON)
    assert (done.seqs[:2], done.seqs[-2:], done.unchanged, done.entries) == ((2, 3), (1, 2), 2, None)


async def test_one_by_one_and_as_a_table_it_is_the_same_entry(store: Store) -> None:
    await store.ledger.append([entry(1, evidence={"b": 1, "a": [2]})], recorded_at=NOON)
    table = statements([1], evidence='{"a":[2],"b":1}')
    assert (await store.ledger.append_table(table, recorded_at=NOON)).unchanged == 1


async def test_whoever_reads_up_to_the_head_has_missed_nothing(store: Store) -> None:
    """Eight writers, and a reader that notes the head and later reads what came before it."""
    done = asyncio.Event()
    seen: list[tuple[int, int]] = []

    async def write(writer: int) -> None:
        for number in range(12):
            told = [entry(f"{writer}-{number}-{part}") for part in range(1 + number % 3)]
            await store.ledger.append(told, recorded_at=NOON)

    async def read() -> None:
        while not done.is_set():
            head = await store.ledger.head()
            table = await store.ledger.since(0)
            up_to_head = [seq for seq in table["seq"].to_pylist() if seq <= head]
            seen.append((head, len(up_to_head)))
            assert up_to_head == list(range(1, head + 1))

    reader = asyncio.create_task(read())
    await asyncio.gather(*(write(writer) for writer in range(8)))
    done.set()
    await reader
    assert await store.ledger.head() == 8 * 24
    assert len(seen) > 2


async def test_a_transaction_that_fails_takes_its_entries_along(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.transaction():
            await store.ledger.append([entry(1)], recorded_at=NOON)
            raise ZeroDivisionError
    assert await store.ledger.head() == 0
    assert (await store.ledger.append([entry(2)], recorded_at=NOON)).seqs == (1,)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE consent_entry SET action = 'GRANT'",
        "UPDATE consent_entry SET seq = 9 WHERE seq = 1",
        "DELETE FROM consent_entry",
        "DELETE FROM consent_entry WHERE seq = 1",
    ],
)
async def test_the_database_refuses_to_change_an_entry(store: Store, change: str) -> None:
    await store.ledger.append([entry(1, DENY)], recorded_at=NOON)
    with pytest.raises(StoreError):
        async with store.transaction():
            await store._database.fetch(change)
    (found,) = await store.ledger.for_subjects([person(1)])
    assert found.action is DENY


async def test_an_entry_cannot_be_replaced_or_the_ledger_emptied(store: Store) -> None:
    await store.ledger.append([entry(1, DENY)], recorded_at=NOON)
    columns = "identity, subject, purpose, 'GRANT', source, evidence, 1, 1, NULL, '', content_hash"
    replacing = f"REPLACE INTO consent_entry SELECT seq, {columns} FROM consent_entry"
    emptying = replacing if store._database.dialect == "sqlite" else "TRUNCATE consent_entry"
    with pytest.raises(StoreError):
        async with store.transaction():
            await store._database.fetch(emptying)
    assert [one.action for one in await store.ledger.for_subjects([person(1)])] == [DENY]


def statements(people: object, **changes: object) -> pa.Table:
    told = {"purpose": "marketing", "action": "GRANT", "source": "form", "evidence": None, "expires_us": None}
    told |= {"effective_us": int(NOON.timestamp() * 1_000_000), "entry_id": None} | changes
    return pa.Table.from_pylist([{"subject": person(name), **told} for name in people], schema=GIVEN)
