"""A request that is too large is refused before anything is asked of a store, and says which limit it met."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import get_introspection_query

from hub.api import limits
from hub.api import schema as served_schema
from hub.api.schema import schema
from tests.clockwork import let_pass


class Untouchable:
    """A context that fails the test as soon as a resolver looks at it."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a resolver was called and asked for {name}")


async def messages(query: str, **variables: Any) -> list[tuple[str, str]]:
    result = await schema.execute(query, variables, context_value=Untouchable())
    return [(error.message, error.extensions["code"]) for error in result.errors or ()]


async def only_limit(query: str, **variables: Any) -> str:
    found = await messages(query, **variables)
    assert {code for _, code in found} == {"LIMIT"}, found
    return found[0][0]


def nested(depth: int) -> str:
    """A query that goes that many fields deep."""
    inside = "key"
    for level in range(depth - 2):
        inside = f"segment {{ {inside} }}" if level % 2 else f"syncs {{ {inside} }}"
    return f'{{ segment(key: "a") {{ {inside} }} }}'


async def test_the_deepest_query_that_is_allowed_passes_and_one_field_more_does_not() -> None:
    assert all(code != "LIMIT" for _, code in await messages(nested(limits.DEEPEST)))
    assert "13 fields deep" in await only_limit(nested(limits.DEEPEST + 1))


async def test_fragments_hide_no_depth() -> None:
    chain = "".join(f"fragment f{n} on Segment {{ syncs {{ segment {{ ...f{n + 1} }} }} }} " for n in range(8))
    query = f'{{ segment(key: "a") {{ ...f0 }} }} {chain} fragment f8 on Segment {{ key }}'
    assert "fields deep" in await only_limit(query)


async def test_sixteen_aliases_are_one_too_many() -> None:
    aliased = " ".join(f"a{n}: key" for n in range(16))
    assert "16 aliases" in await only_limit(f'{{ segment(key: "a") {{ {aliased} }} }}')


async def test_an_alias_counts_each_time_its_fragment_is_spread() -> None:
    spread = " ".join("...f" for _ in range(16))
    assert "16 aliases" in await only_limit(
        f'{{ segment(key: "a") {{ {spread} }} }} fragment f on Segment {{ a: key }}'
    )


async def test_fragments_that_double_at_every_step_are_measured_in_no_time() -> None:
    doubling = " ".join(f"fragment f{n} on Segment {{ ...f{n + 1} ...f{n + 1} }}" for n in range(60))
    query = f'{{ segment(key: "a") {{ ...f0 }} }} {doubling} fragment f60 on Segment {{ a: key }}'
    assert "aliases" in await only_limit(query)


async def test_fragments_in_a_circle_are_refused() -> None:
    query = '{ segment(key: "a") { ...f } } fragment f on Segment { ...g } fragment g on Segment { ...f }'
    assert any("Cannot spread fragment" in message for message, _ in await messages(query))


async def test_a_thousand_and_one_tokens_are_one_too_many() -> None:
    assert "1,000 tokens" in await only_limit(f"{{ {'traits ' * 999} }}")


async def test_a_hundred_thousand_braces_are_refused_before_they_are_parsed() -> None:
    assert "50 brackets deep" in await only_limit("{" * 100_000)
    assert "50 brackets deep" in await only_limit("{ a(x: " + "[" * 900)


async def test_eleven_fields_at_the_root_are_one_too_many() -> None:
    assert "10 fields at its root" in await only_limit(f"{{ {'traits { name } ' * 11} }}")
    assert "10 fields at its root" in await only_limit(
        f"{{ ...f }} fragment f on Query {{ {'traits { name } ' * 11} }}"
    )


async def test_fifty_one_directives_are_one_too_many() -> None:
    repeated = " ".join("name @include(if: true)" for _ in range(51))
    assert "51 directives" in await only_limit(f"{{ traits {{ {repeated} }} }}")


async def test_pages_within_pages_are_counted_as_the_objects_they_may_bring() -> None:
    inner = "members(first: 100) { nodes { externalId segments { members(first: 100) { nodes { externalId } } } } }"
    assert "objects" in await only_limit(f"{{ segments(first: 100) {{ nodes {{ {inner} }} }} }}")


async def test_a_page_of_more_than_a_hundred_is_refused() -> None:
    assert "`first` is 101" in await only_limit("{ segments(first: 101) { nodes { key } } }")
    assert "`first` is 101" in await only_limit("query($n: Int) { segments(first: $n) { nodes { key } } }", n=101)


async def test_variables_nested_without_end_are_refused() -> None:
    value: Any = 1
    for _ in range(40):
        value = [value]
    assert "32 levels" in await only_limit("query($k: String!) { segment(key: $k) { key } }", k=value)


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
async def test_text_that_no_store_can_keep_is_refused(text: str) -> None:
    [(message, code)] = await messages("query($k: String!) { segment(key: $k) { key } }", k=text)
    assert code == "INVALID" and "no store can keep" in message


async def test_an_escaped_nul_in_the_query_is_refused_too() -> None:
    [(message, code)] = await messages('{ segment(key: "a\\u0000b") { key } }')
    assert code == "INVALID" and "no store can keep" in message


async def test_the_introspection_that_tools_send_passes() -> None:
    result = await schema.execute(get_introspection_query(input_value_deprecation=True, specified_by_url=True))
    assert result.errors is None
    assert result.data["__schema"]["queryType"]["name"] == "Query"


async def test_introspection_in_a_circle_is_refused() -> None:
    inside = "name"
    for _ in range(6):
        inside = f"fields {{ type {{ {inside} }} }}"
    assert await messages(f'{{ __type(name: "Query") {{ {inside} }} }}')


async def test_a_query_that_takes_too_long_is_ended() -> None:
    import asyncio

    ended = asyncio.Event()

    class Slow:
        async def read(self, *_: Any) -> Any:
            try:
                let_pass(served_schema.SECONDS)
                await asyncio.sleep(60)
            finally:
                ended.set()

    result = await schema.execute("{ traits { name } }", context_value=Slow())
    assert result.errors[0].extensions["code"] == "LIMIT"
    assert "took longer" in result.errors[0].message
    assert ended.is_set()
