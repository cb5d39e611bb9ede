"""`make bench`: the hub beside a hand-written script and dlt, on one workload in one run, as ratios of medians."""
