"""What all benchmarks share: bars and results, runs that rank, and commands that are killed at a chosen moment."""
