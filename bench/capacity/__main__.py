"""`make capacity`: measure what a service can take and print it; `--write` also puts it into docs/operations.md."""

from datetime import UTC, datetime

from chaos.__main__ import write

from bench.capacity.report import Figures, render
from bench.capacity.running_tasks import SINGLE, measure_running_tasks
from bench.capacity.scaling import measure_scaling
from bench.capacity.webhooks import measure_wakeups
from bench.measure import ROOT
from bench.options import read_options
from bench.report import load_average, machine


def main() -> None:
    """Measure, and print the tables. A missed limit is reported there; the run still succeeds."""
    options = read_options("python -m bench.capacity", __doc__, "docs/operations.md")
    load = load_average()
    tasks, settle_s, seconds = (100, 3.0, 3.0) if options.quick else (10_000, 30.0, 40.0)
    figures = Figures(
        scaling=measure_scaling(*((80, 1) if options.quick else (1500, 3))),
        running_tasks=[
            *(
                measure_running_tasks(count, settle_s=settle_s, seconds=seconds)
                for count in (tasks // 4, tasks // 2, tasks)
            ),
            measure_running_tasks(tasks, settle_s=settle_s, seconds=seconds, polled=SINGLE),
        ],
        wakeups_ms=measure_wakeups(3 if options.quick else 30),
    )
    text = render(figures, machine=machine(), when=f"{datetime.now(UTC):%Y-%m-%d}", load=load)
    print(text)
    if options.write:
        write(text, ROOT / "docs" / "operations.md", "capacity")


if __name__ == "__main__":
    main()
