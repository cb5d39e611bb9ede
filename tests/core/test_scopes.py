"""What two runs that wait in the same place come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.scopes import Scope

WAITING_TOGETHER = [{Scope.REPEAT, Scope.ALL, Scope.RETRY_REJECTED, Scope.FULL}, {Scope.AUDIT, Scope.REPAIR}]


@pytest.mark.parametrize("scope", Scope)
def test_a_run_joined_with_its_like_stays_what_it_is(scope: Scope) -> None:
    assert scope.joined(scope) is scope


@given(st.sampled_from(WAITING_TOGETHER).flatmap(lambda some: st.tuples(*[st.sampled_from(sorted(some))] * 3)))
def test_it_does_not_matter_in_which_order_they_were_asked_for(some: tuple[Scope, Scope, Scope]) -> None:
    one, two, three = some
    assert one.joined(two) is two.joined(one)
    assert one.joined(two).joined(three) is one.joined(two.joined(three))


def test_the_one_that_does_more_stays() -> None:
    assert (
        Scope.ALL.joined(Scope.REPEAT) is Scope.ALL and Scope.RETRY_REJECTED.joined(Scope.ALL) is Scope.RETRY_REJECTED
    )
    assert Scope.FULL.joined(Scope.RETRY_REJECTED) is Scope.FULL and Scope.REPAIR.joined(Scope.AUDIT) is Scope.REPAIR


def test_whoever_audits_tells_nobody_anything() -> None:
    assert not [scope for scope in Scope if scope.whole and scope.audits]
