"""A killed server loses nothing and pays for nothing twice."""

import faulthandler
from pathlib import Path

from chaos.audit import created, problems
from chaos.chain import run_all
from chaos.plan import KILLS, chains
from postgres import Server

SEED = 20261121


async def test_a_server_killed_at_any_point_loses_nothing_and_pays_nothing_twice(tmp_path: Path) -> None:
    """Run one round of 32 kills; `make chaos` runs ten."""
    # 36 servers are started here, which may take longer than `faulthandler_timeout`
    faulthandler.dump_traceback_later(600, exit=True)
    records = await run_all(chains(SEED, 0), tmp_path, at_once=KILLS)
    assert [problem for chain in records for problem in problems(chain)] == []
    assert sum(len(chain.crashes) for chain in records) == KILLS
    assert sum(len(created(chain)) for chain in records) > KILLS


async def test_the_same_on_postgresql(tmp_path: Path, database: Server) -> None:
    """A quarter of a round; `make chaos ARGS="--database postgresql"` runs ten rounds."""
    records = await run_all(chains(SEED, 1)[::4], tmp_path, at_once=KILLS, database=database)
    assert [problem for chain in records for problem in problems(chain)] == []
    assert sum(len(created(chain)) for chain in records) > sum(len(chain.crashes) for chain in records) > 0
