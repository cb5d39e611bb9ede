"""Everything that can be asked, one module per noun."""

from __future__ import annotations

import strawberry

from hub.api.queries.alerts import AlertQueries
from hub.api.queries.catalogue import CatalogueQueries
from hub.api.queries.destinations import DestinationQueries
from hub.api.queries.nodes import NodeQueries
from hub.api.queries.profiles import ProfileQueries
from hub.api.queries.segments import SegmentQueries
from hub.api.queries.syncs import SyncQueries


@strawberry.type(description="What can be asked. Nothing here changes anything.")
class Query(
    NodeQueries, CatalogueQueries, SegmentQueries, ProfileQueries, DestinationQueries, SyncQueries, AlertQueries
):
    """The nouns, put together."""
