"""Write benchmarks/results/README.md: every bar of every result file, with its command, commit and machine.

python benchmarks/report.py
"""

import json

from common import RESULTS


def main() -> None:
    lines = ["# Results", "", "Made by `python benchmarks/report.py` from the JSON files beside it.", ""]
    for file in sorted(RESULTS.glob("*.json")):
        result = json.loads(file.read_text())
        machine = result["machine"]
        lines += [
            f"## {result['name']}",
            "",
            f"`{result['command'].strip()}`, commit {result['commit']}, {result['date']}, {machine['processor']}, "
            f"{machine['cores']} cores ({machine['vector_instructions']}), {machine['threads']} torch threads, "
            f"{machine['memory_gib']} GiB",
            "",
            "| bar | value | goal | holds |",
            "|---|---|---|---|",
        ]
        for bar in result["bars"]:
            lines.append(
                f"| {bar['name']} | {bar['value']:.4g} | {bar['goal']} | {'yes' if bar['holds'] else '**no**'} |"
            )
        for key in ("table", "speed", "channels"):
            rows = result.get(key) or {}
            columns = list(dict.fromkeys(column for row in rows.values() for column in row))
            if columns:
                lines += ["", f"| {'row' if key == 'table' else key} | " + " | ".join(columns) + " |"]
                lines += ["|---" * (1 + len(columns)) + "|"]
            for name, row in rows.items():
                lines.append(f"| {name} | " + " | ".join(str(row.get(column, "")) for column in columns) + " |")
        for note in result.get("notes", []):
            lines += ["", note]
        lines.append("")
    (RESULTS / "README.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
