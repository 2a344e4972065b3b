"""PostgreSQL finds what acts look up by its key, also while it has no statistics: no table is analyzed here.

Touches: files, processes, sockets, threads (databases).
"""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engines import ENGINES
from ledger_world import World
from mesh.coordinator.store.postgres import engine_for
from waiting import until

pytestmark = pytest.mark.anyio

ALONE, TOGETHER = 60, 40
FACTS = 3 * (ALONE + TOGETHER)
_KEPT = "select sum(n_tup_ins) from pg_stat_user_tables where relname = 'evidence'"
_READ = "select indexrelname, idx_scan, idx_tup_read from pg_stat_user_indexes where idx_scan > 0"


@pytest.mark.parametrize("engine", [engine for engine in ENGINES if engine != "on_sqlite"])
async def test_no_act_reads_more_of_an_index_than_it_is_about(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    world = World(request.getfixturevalue(engine)(tmp_path).where)
    for _ in range(ALONE):
        permit = world.grant(world.bob)
        world.report(world.used(permit, world.bob, claim=world.claim(permit, world.bob)))
    series = world.series((world.bob, 4000 * TOGETHER))
    under = [world.under(series) for _ in range(TOGETHER)]
    world.report(*(world.used(job, world.bob, claim=world.claim(job, world.bob)) for job in under))
    world.database.close()

    with engine_for(str(world.where)).connect() as connection:

        def asked(sql: str) -> Any:
            connection.execute(text("select pg_stat_clear_snapshot()"))
            return connection.execute(text(sql))

        await until(lambda: asked(_KEPT).scalar() == FACTS)  # a server counts what a connection did when that ends
        read = {name: found / scans for name, scans, found in asked(_READ)}
    assert {name for name, each in read.items() if each > 8} == set()
    assert {"pk_permits", "pk_evidence", "ix_jobs_job", "ix_permits_job"} & set(read)
