"""The options of a benchmark."""

import argparse


def read_options(program: str, description: str | None, document: str) -> argparse.Namespace:
    """Return whether to be `quick`, and whether to `write` the figures into the document."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--quick", action="store_true", help="little of each: to test that it runs, not to compare")
    parser.add_argument("--write", action="store_true", help=f"write {document} too")
    return parser.parse_args()
