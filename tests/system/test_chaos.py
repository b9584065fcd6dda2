"""A server that is killed at whatever moment loses nothing, and pays for nothing twice."""

import faulthandler
from pathlib import Path

from chaos.audit import created, problems
from chaos.chain import run_all
from chaos.plan import KILLS, chains

SEED = 20261121


async def test_whatever_moment_it_is_killed_at_nothing_is_lost_or_paid_twice(tmp_path: Path) -> None:
    """Run one round of 32 kills; `make chaos` runs ten."""
    # 36 servers are started here, which may take longer than `faulthandler_timeout` grants one test
    faulthandler.dump_traceback_later(600, exit=True)
    books = await run_all(chains(SEED, 0), tmp_path, at_once=KILLS)
    assert [problem for chain in books for problem in problems(chain)] == []
    assert sum(len(chain.crashes) for chain in books) == KILLS
    assert sum(len(created(chain)) for chain in books) > KILLS
