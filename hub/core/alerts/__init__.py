"""When a sync is well, when it has turned bad, and what is said of it: decisions alone, nothing is read or sent."""
