"""Reads what other tools left in a repository and proposes a manifest for it; runs nothing of it."""
