"""What can be proven of the deployment files without a container engine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import yaml

from hub.settings import Settings
from hub.warehouse.postgres import A_FEW, open_postgres
from tests.postgres_server import find_binaries, throwaway_cluster

DEPLOY = Path(__file__).parents[2] / "deploy"
BIN = Path(sys.executable).parent


def test_the_dockerfile_passes_its_linter() -> None:
    assert_passes(BIN / "hadolint", DEPLOY / "Dockerfile")


def test_the_image_runs_as_an_unprivileged_user_and_says_when_it_is_healthy() -> None:
    last_stage = (DEPLOY / "Dockerfile").read_text().rsplit("\nFROM ", 1)[1]
    assert "\nUSER 10001\n" in last_stage
    assert "\nHEALTHCHECK " in last_stage


def test_the_compose_file_is_valid_against_its_schema() -> None:
    # The schema reads YAML after merging, as compose does.
    merged = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert {"hub", "worker", "postgres"} <= merged["services"].keys()
    assert_passes(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


def test_the_example_environment_holds_no_working_secret_and_only_known_settings() -> None:
    lines = [line for line in (DEPLOY / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    values = dict(line.split("=", 1) for line in lines)
    settings = {f"HUB_{name.upper()}" for name in Settings.model_fields}
    assert values.keys() - {"POSTGRES_PASSWORD"} <= settings
    assert all(not value for name, value in values.items() if any(w in name for w in ("PASSWORD", "KEY", "TOKEN")))


@pytest.mark.postgres
@pytest.mark.parametrize("as_it_comes", [False, True])
def test_the_database_of_the_compose_file_keeps_people_out_of_its_own_log(as_it_comes: bool) -> None:
    """As it comes it does not, which shows that there is something to keep out."""
    if not (binaries := find_binaries()):
        pytest.skip("no PostgreSQL binaries are found")
    first, *settings = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["postgres"]["command"]
    assert first == "postgres"
    with throwaway_cluster(binaries, settings="" if as_it_comes else " ".join(settings)) as cluster:
        plane = open_postgres(cluster.url)
        for people in (A_FEW, 2 * A_FEW):
            twice = pa.table({"address": ["ann@example.com"] * people})
            with pytest.raises(psycopg.errors.UniqueViolation), plane.write() as tx:
                tx.execute("CREATE TEMP TABLE known (address VARCHAR UNIQUE)")
                tx.append("known", twice)
        plane.close()
        assert "duplicate key value" in cluster.log
        assert ("ann@example.com" in cluster.log) is as_it_comes


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not on this machine")
    unit = tmp_path / "hub.service"
    # The verifier wants the commands to exist; on this machine the hub is not installed in its final place.
    unit.write_text((DEPLOY / "hub.service").read_text().replace("/opt/hub/bin/hub", "/bin/true"))
    assert_passes("systemd-analyze", "verify", "--man=no", unit)


def assert_passes(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
