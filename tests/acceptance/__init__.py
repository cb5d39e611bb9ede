"""The hub as a stranger meets it: a real process, HTTP, a real sink. Nothing here imports the hub."""
