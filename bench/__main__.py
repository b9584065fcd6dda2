"""`python -m bench`: measure and print the tables; `--write` writes them to docs/benchmarks.md."""

import argparse

from bench.commands import measure_commands
from bench.listing import measure_listing
from bench.load import measure_load
from bench.measure import FULL, QUICK, ROOT, measure
from bench.over_http import measure_over_http
from bench.report import load_average, render
from bench.views import measure_views


def main() -> None:
    """Run the benchmark. A missed limit is reported in the table; the run still succeeds."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: to test that it runs, not to compare")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md instead of to standard output")
    options = parser.parse_args()
    load = load_average()
    amounts = QUICK if options.quick else FULL
    samples = measure(amounts)
    measure_views(samples, amounts.rounds)
    measure_commands(samples, amounts.rounds)
    measure_listing(samples, amounts.listings)
    measure_over_http(samples, amounts.fetches)
    measure_load(samples, amounts.tasks, amounts.speed)
    document = render(samples, load)
    if options.write:
        (ROOT / "docs" / "benchmarks.md").write_text(document, encoding="utf-8")
    else:
        print(document)


if __name__ == "__main__":
    main()
