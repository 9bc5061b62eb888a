"""The parts of `cold.py`: new items, new users, and what is chosen for them."""
