"""What is measured on: a small world whose truth is known, models of it, and catalogues and layouts without data."""
