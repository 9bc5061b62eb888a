"""A trained model in use: recommendations, instructions, and its export."""
