"""How results are shown: tables, plots, pages and progress bars."""

from recbole_navigen.faces import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "tables": "Cell Table to_csv to_latex to_markdown to_terminal",
        "plots": "Plot",
        "page": "to_html",
        "html_result": "HtmlResult",
    },
)
