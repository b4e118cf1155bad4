"""Generative priors: what the head looks like where the photo does not show it."""
