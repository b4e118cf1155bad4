"""Evaluation: what is compared with what, the protocols of the papers, and the results as JSON, CSV and HTML."""
