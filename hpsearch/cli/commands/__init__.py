"""A module per command: each parses, calls the floors below, and prints."""
