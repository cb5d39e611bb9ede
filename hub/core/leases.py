"""What a worker is told that no longer has the run it is working on."""


class LeaseLost(Exception):  # noqa: N818 - what happened, as a worker says it
    """Another worker has the run, or it ended: write nothing more about it, and send nothing."""
