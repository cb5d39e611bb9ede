"""How long the next request to a destination must wait for what its vendor allows: decided without a clock or a net."""
