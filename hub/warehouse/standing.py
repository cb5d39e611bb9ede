"""How a row of `delivered` is to be read while a job of the vendor's is open: what the job may do may have been done.

So whoever is in one is possibly there with its payload, and nobody is quiet before its deadline. Nothing of that is
written down in the row itself, which is why the vendor's word on the job ends it and leaves nothing behind.
"""

from __future__ import annotations

VIEW = """
CREATE VIEW standing AS
SELECT sync, audience, key, pid, external_id, coalesce(job_fingerprint, fingerprint) AS fingerprint, refused,
  CASE WHEN state <> 'suppressed' AND coalesce(job_fingerprint, fingerprint) IS NOT NULL
    AND coalesce(job_until, leaving_until) IS NOT NULL THEN 'possible' ELSE state END AS state,
  reason, attempts, "at", run, greatest(late_until, job_until, leaving_until) AS late_until, again, retry_at
FROM delivered"""
