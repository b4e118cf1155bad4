"""Files that other programs read: Gaussians as PLY, .splat, SPZ and glTF; the mesh as GLB; GaussianAvatars bundles."""
