"""What the product is measured against: searches, losses and bugs of others, built on its own models."""
