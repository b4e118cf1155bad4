"""facecraft: one portrait photo in, an animatable 3D Gaussian head avatar out."""

import os

# torch and numba each bring an OpenMP runtime; two busy-waiting thread pools slow each other 10x.
# Must be set before either is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
