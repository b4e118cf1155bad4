"""Synthetic heads with ground truth: a seeded person, light and camera in; pictures and everything behind them out."""
