"""LivePortrait (Guo et al. 2024): a face animated by keypoints that a network finds; its weights are the user's."""
