"""The three errors a connector raises for a whole batch, chosen by what should happen next."""

from __future__ import annotations


class ConnectorError(Exception):
    """`reason` is for the admin and must hold no personal data and no secret. `reached` is not the connector's to say:
    an earlier request of the same call may have changed something."""

    reached = False

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class TransientError(ConnectorError):
    """Try the batch again later. `retry_after` is seconds, when the vendor said; `sent` is False only when the
    request certainly never reached the vendor, so that nobody in it can be there because of it."""

    def __init__(self, reason: str, retry_after: float | None = None, *, sent: bool = True) -> None:
        self.retry_after = retry_after
        self.sent = sent
        super().__init__(reason)


class AuthError(ConnectorError):
    """The account refuses us: pause the destination and tell a person."""


class RefusedError(ConnectorError):
    """The vendor will never take this batch as it is. `divisible` says that one row may have spoilt it, so halves
    are worth a try."""

    def __init__(self, reason: str, *, divisible: bool = False) -> None:
        self.divisible = divisible
        super().__init__(reason)
