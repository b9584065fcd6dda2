"""The diagram of the packages in docs/design.md, and the imports."""

import ast
import re
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "journey_mcp"


def drawn_arrows() -> set[tuple[str, str]]:
    """Return the arrows of the diagram, from package to package."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    lines = re.findall(r"^  (.+) --> (.+)$", text, re.MULTILINE)
    return {arrow for left, right in lines for arrow in product(left.split(" & "), right.split(" & "))}


def imported_packages(module: Path) -> set[str]:
    """Return the packages of journey-mcp that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("journey_mcp.")}


def reached_from(package: str, arrows: set[tuple[str, str]]) -> set[str]:
    """Return the packages to which arrows lead from this one."""
    following = {below for above, below in arrows if above == package}
    return following.union(*(reached_from(below, arrows) for below in following))


def test_the_diagram_of_the_packages_shows_the_imports() -> None:
    """Every arrow is an import, and every import follows arrows; no arrow repeats what others show."""
    arrows = drawn_arrows()
    packages = {package for arrow in arrows for package in arrow}
    imports = {
        (package, other)
        for package in packages
        for module in (PACKAGE / package).rglob("*.py")
        for other in imported_packages(module) & packages - {package}
    }
    assert arrows - imports == set()
    assert {(above, below) for above, below in imports if below not in reached_from(above, arrows)} == set()
    assert [arrow for arrow in arrows if arrow[1] in reached_from(arrow[0], arrows - {arrow})] == []


def test_the_table_of_the_packages_names_all() -> None:
    """Each has a row."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE))
    assert rows == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
