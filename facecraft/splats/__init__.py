"""3D Gaussians: rasterisation, rigging, training and files."""
