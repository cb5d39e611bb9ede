"""The smallest connector that works: it keeps its audiences in memory."""

from hub.sdk import Account, Audience, Capabilities, Channel, Connector, ConnectorConfig, Result, hookimpl


# [first]
class First(Connector[ConnectorConfig]):
    key, title, channel = "first", "My first", Channel.GENERIC
    capabilities, Config = Capabilities(), ConnectorConfig
    held: dict[str, dict] = {}  # noqa: RUF012 - kept for the life of the process

    async def check(self):
        return Account("in memory")

    async def ensure_audience(self, name):
        return Audience(name, ref=name)

    async def add(self, audience, people):
        self.held.setdefault(audience.ref, {}).update({person.key: person.fields for person in people})
        return Result()

    async def remove(self, audience, people):
        for person in people:
            self.held.get(audience.ref, {}).pop(person.key, None)
        return Result()


@hookimpl
def hub_connectors():
    return [First]


# [/first]
