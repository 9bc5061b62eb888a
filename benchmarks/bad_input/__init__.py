"""The inputs that `bad_inputs.py` tries, one module a kind, and the world in which they are tried."""
