"""training/models."""
