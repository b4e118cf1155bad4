"""Morphable heads and their fitting to pictures."""
