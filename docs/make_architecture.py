"""Draw the rooms of the package as docs/images/architecture.svg, from the table of tests/test_house.py.

python docs/make_architecture.py
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docs" / "images" / "architecture.svg"
# Rooms that stand beside each other, from below.
FLOORS = (
    ("ground",),
    ("config",),
    ("data", "identifiers"),
    ("conversion", "language"),
    ("supervision", "network", "encoders"),
    ("model", "evaluation"),
    ("training", "presentation"),
    ("baselines", "reinforcement"),
    ("runs",),
    ("serving", "comparison", "tuning"),
    ("pipeline", "generation"),
    ("quick_start",),
    ("cli",),
)
WIDTH, HEIGHT, BOX = 880, 62, 190


def plan() -> dict[str, tuple[str, ...]]:
    """The table, without running the tests' file."""
    tree = ast.parse((ROOT / "tests" / "test_house.py").read_text("utf-8"))
    node = next(node for node in tree.body if isinstance(node, ast.AnnAssign) and node.target.id == "PLAN")
    return table_of(node.value)


def table_of(node: ast.expr) -> dict[str, tuple[str, ...]]:
    """A table of names, whose tuples may be spread with a star."""

    def names(value: ast.expr) -> tuple[str, ...]:
        parts = (names(item.value) if isinstance(item, ast.Starred) else (item.value,) for item in value.elts)
        return tuple(name for part in parts for name in part)

    return {key.value: names(value) for key, value in zip(node.keys, node.values, strict=True)}


def svg(rooms: dict[str, tuple[str, ...]]) -> str:
    """The picture: a line leads down to each room that is imported and is not reached through another one anyway. Lines
    to the ground floor, which all know, are left out.
    """

    def reached(name: str) -> set[str]:
        return set(rooms[name]).union(*map(reached, rooms[name]))

    places, height = {}, HEIGHT * len(FLOORS) + 20
    for floor, names in enumerate(FLOORS):
        for at, name in enumerate(names):
            places[name] = ((at + 1) * WIDTH / (len(names) + 1), height - HEIGHT * (floor + 0.7))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        "<style>text{font-size:15px}</style>",
        "<style>rect{fill:#eef3fb;stroke:#3b6ea8}text{fill:#14263d;text-anchor:middle}path{stroke:#8aa3c2;fill:none}"
        "@media(prefers-color-scheme:dark){rect{fill:#1d2b3f;stroke:#7fa8d9}text{fill:#e6eef9}path{stroke:#5c7594}}</style>",
    ]
    for name, others in rooms.items():
        x, y = places[name]
        for other in sorted(set(others).difference(*map(reached, others))):
            a, b = places[other]
            lines.append(
                f'<path d="M{x:.0f} {y + 15:.0f}C{x:.0f} {y + 45:.0f} {a:.0f} {b - 45:.0f} {a:.0f} {b - 15:.0f}"/>'
            )
    for name, (x, y) in places.items():
        lines.append(f'<rect x="{x - BOX / 2:.0f}" y="{y - 15:.0f}" width="{BOX}" height="30" rx="6"/>')
        lines.append(f'<text x="{x:.0f}" y="{y + 5:.0f}">{name.replace("ground", "ground floor")}</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    FILE.write_text(svg(plan()), "utf-8")
