"""Everything that can be done, one module per noun: each mutation is one use case of `hub.services`."""

from __future__ import annotations

import strawberry

from hub.api.mutations.alerts import AlertMutations
from hub.api.mutations.consent import ConsentMutations
from hub.api.mutations.destinations import DestinationMutations
from hub.api.mutations.profiles import ProfileMutations
from hub.api.mutations.runs import RunMutations
from hub.api.mutations.segments import SegmentMutations
from hub.api.mutations.syncs import SyncMutations
from hub.api.mutations.writekeys import WriteKeyMutations


@strawberry.type(description="What can be done. Every answer holds the thing, or `errors` that say what to put right.")
class Mutation(
    ConsentMutations,
    SegmentMutations,
    DestinationMutations,
    SyncMutations,
    RunMutations,
    ProfileMutations,
    AlertMutations,
    WriteKeyMutations,
):
    """The nouns, put together."""
