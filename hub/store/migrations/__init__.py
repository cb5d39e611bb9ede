"""The history of the control plane's schema. Applied ones are never edited; `python -m hub.store.migrations` writes the
next one from what changed in `hub.store.models`."""
