"""`python -m bench`: measure and print the tables; `--write` also writes docs/benchmarks.md."""

from bench.commands import measure_commands
from bench.listing import measure_listing
from bench.load import measure_load
from bench.measure import FULL, QUICK, ROOT, measure
from bench.options import read_options
from bench.over_http import measure_over_http
from bench.report import load_average, render
from bench.views import measure_views


def main() -> None:
    """Run the benchmark. A missed limit is reported in the table; the run still succeeds."""
    options = read_options("python -m bench", __doc__, "docs/benchmarks.md")
    load = load_average()
    amounts = QUICK if options.quick else FULL
    samples = measure(amounts)
    measure_views(samples, amounts.rounds)
    measure_commands(samples, amounts.rounds)
    measure_listing(samples, amounts.listings)
    measure_over_http(samples, amounts.fetches)
    measure_load(samples, amounts.tasks, amounts.speed)
    document = render(samples, load)
    print(document)
    if options.write:
        (ROOT / "docs" / "benchmarks.md").write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
