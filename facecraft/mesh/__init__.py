"""Triangle meshes: normals, sampling and a z-buffer rasteriser."""
