"""The delivery machine: what to send next and what an answer means, decided without a clock, a network or a store."""
