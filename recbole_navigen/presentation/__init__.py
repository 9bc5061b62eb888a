"""How results are shown: tables, plots, pages and progress bars."""
