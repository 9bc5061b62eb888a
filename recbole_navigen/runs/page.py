"""What a page says about the run behind it: its test, its stages, its training and its identifiers."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_navigen.config.forms import sampled
from recbole_navigen.identifiers.table import LEVEL_LETTERS, DualIdentifierTable, code_use
from recbole_navigen.presentation.plots import Plot, curve_plot
from recbole_navigen.presentation.tables import Cell, Table
from recbole_navigen.runs.layout import CHECKPOINT, IDENTIFIERS
from recbole_navigen.runs.result import read_result
from recbole_navigen.training.checkpoint import load_checkpoint


def run_sections(run_dir: str | Path, trace: Mapping[str, Any] | None = None) -> tuple[list[Table], list[Plot]]:
    """Tables and plots of a finished run, for `generation.page.write_media_page`.

    Args:
        run_dir: the folder of the run, `saved/RUN`. trace: of one search of instructions (`SearchResult.trace`).
    """
    run_dir = Path(run_dir)
    result = read_result(run_dir)
    among = sampled(result["protocol"]["eval_args"]["mode"]["test"])
    tables = [
        Table(
            f"Recommendation, {result['model']} on {result['dataset']}" + (f" ({among})" if among else ""),
            "test",
            ("metric", "test"),
            tuple((Cell(name), Cell(f"{value:.4f}")) for name, value in result["test_result"].items()),
        ),
        Table(
            "Stages",
            "stages",
            ("stage", "seconds", "what came out"),
            tuple((Cell(row["name"]), Cell(f"{row['seconds']:.1f}"), Cell(row["metric"])) for row in result["stages"]),
        ),
    ]
    if (run_dir / IDENTIFIERS).is_dir():
        tables.append(_identifiers(DualIdentifierTable.load(run_dir / IDENTIFIERS)))
    plots = []
    losses = load_checkpoint(run_dir / CHECKPOINT).get("train_loss_dict")
    if losses:
        plots.append(curve_plot("Training loss of the recommender", "epoch", "loss", {"training": dict(losses)}))
    scores = {row["epoch"]: row["score"] for row in result["validations"]}
    if scores:
        chosen = result["config"]["valid_metric"]
        plots.append(curve_plot(f"{chosen} of the validation users", "epoch", chosen, {"validation": scores}))
    if trace is not None:
        from recbole_navigen.supervision.trace_plot import draw_trace

        with tempfile.TemporaryDirectory() as folder:
            draw_trace(dict(trace), Path(folder) / "trace.svg")
            drawn = (Path(folder) / "trace.svg").read_text("utf-8")
        plots.append(Plot("Evolution of one instruction", drawn, drawn))
    return tables, plots


def _identifiers(table: DualIdentifierTable) -> Table:
    """Use and evenness of the codes, level by level."""
    rows = []
    for level, column in enumerate(table.codes.T):
        use = code_use(column)
        cells = (str(use["codes_in_use"]), f"{use['entropy_bits']:.2f}", str(use["largest_code"]))
        rows.append((Cell(f"level {LEVEL_LETTERS[level]}"), *map(Cell, cells)))
    notes = [line.strip() for line in table.describe().splitlines() if not line.strip().startswith("level ")]
    columns = ("identifiers", "codes in use", "entropy in bits", "items of the largest code")
    return Table("Dual identifiers", "identifiers", columns, tuple(rows), tuple(notes))
