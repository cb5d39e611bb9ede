"""Vendors' own ids of people: asked for once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hub.sdk import NativeIds


class Vendor:
    def __init__(self, **known: str) -> None:
        self.known, self.asked = known, []

    async def find(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(list(keys))
        return {key: self.known[key] for key in keys if key in self.known}


async def test_whoever_was_found_is_not_asked_about_again_and_whoever_was_not_is() -> None:
    vendor, ids = Vendor(ann="1", bob="2"), NativeIds()
    assert await ids.of(["ann", "cem", "ann"], vendor.find) == {"ann": "1"}
    assert await ids.of(["ann", "bob", "cem"], vendor.find) == {"ann": "1", "bob": "2"}
    assert vendor.asked == [["ann", "cem"], ["bob", "cem"]]


async def test_many_are_asked_about_in_parts() -> None:
    vendor, ids = Vendor(**{f"n{number}": str(number) for number in range(250)}), NativeIds()
    assert len(await ids.of(vendor.known, vendor.find)) == 250
    assert [len(asked) for asked in vendor.asked] == [100, 100, 50]


async def test_those_used_longest_ago_are_forgotten_first_but_not_within_one_answer() -> None:
    vendor, ids = Vendor(ann="1", bob="2", cem="3"), NativeIds(most=2)
    assert await ids.of(["ann", "bob", "cem"], vendor.find) == {"ann": "1", "bob": "2", "cem": "3"}
    await ids.of(["bob", "cem"], vendor.find)
    await ids.of(["ann"], vendor.find)
    assert vendor.asked == [["ann", "bob", "cem"], ["ann"]]


async def test_whoever_is_forgotten_or_learned_by_the_way_counts_as_such() -> None:
    vendor, ids = Vendor(ann="1"), NativeIds()
    ids.learn({"bob": "2"})
    assert await ids.of(["bob"], vendor.find) == {"bob": "2"} and not vendor.asked
    ids.forget(["bob", "never known"])
    assert await ids.of(["bob"], vendor.find) == {}
