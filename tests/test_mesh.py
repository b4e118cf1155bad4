"""Measures on meshes with closed forms, and the z-buffer against a reference that tries every triangle at every pixel."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from facecraft.camera import Camera, look_at
from facecraft.mesh.atlas import sample_pixels
from facecraft.mesh.geometry import face_normals, graph_laplacian, unique_edges, vertex_normals
from facecraft.mesh.raster import rasterize_mesh


def octahedron() -> tuple[np.ndarray, np.ndarray]:
    vertices = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    faces = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    return vertices, np.array(faces)


def sphere(rings: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere by subdividing the octahedron's faces on a grid; counter-clockwise from outside."""
    vertices, faces = octahedron()
    for _ in range(int(np.log2(rings))):
        edges = unique_edges(faces)
        number = {tuple(edge): len(vertices) + i for i, edge in enumerate(edges)}
        middle = vertices[edges].mean(1)
        vertices = np.concatenate([vertices, middle / np.linalg.norm(middle, axis=1, keepdims=True)])
        ab, bc, ca = (np.array([number[tuple(sorted(pair))] for pair in faces[:, [i, (i + 1) % 3]]]) for i in range(3))
        a, b, c = faces.T
        faces = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return vertices, faces


def test_face_normals_are_twice_the_area_and_outward():
    vertices, faces = octahedron()
    normals = face_normals(vertices, faces)
    assert np.allclose(np.linalg.norm(normals, axis=1) / 2, np.sqrt(3) / 2)
    assert ((normals * vertices[faces].mean(1)).sum(1) > 0).all()


def test_normals_of_a_closed_mesh_sum_to_zero():
    assert np.allclose(face_normals(*sphere()).sum(0), 0, atol=1e-12)


def test_vertex_normals_of_a_sphere_are_its_positions():
    vertices, faces = sphere()
    assert np.allclose(vertex_normals(vertices, faces), vertices, atol=0.02)


def test_a_vertex_without_faces_has_no_normal():
    vertices, faces = octahedron()
    assert vertex_normals(np.r_[vertices, [[9, 9, 9.0]]], faces)[-1].tolist() == [0, 0, 0]


def test_euler_counts_the_edges():
    vertices, faces = sphere()
    edges = unique_edges(faces)
    assert len(vertices) - len(edges) + len(faces) == 2
    assert (edges[:, 0] < edges[:, 1]).all()


def test_the_laplacian_is_the_difference_to_the_mean_of_the_neighbours():
    vertices, faces = octahedron()
    laplacian = graph_laplacian(faces, 7)
    assert np.allclose((laplacian @ np.r_[vertices, [[5, 5, 5]]])[:6], vertices)  # neighbours of each cancel
    assert np.allclose(laplacian @ np.ones(7), 0)
    assert laplacian[6].nnz == 0 or not laplacian[6].toarray().any()


def brute_force(pixels, faces, height, width, cull=False):
    """Nearest triangle by trying all at each pixel centre, in float64 from the edge functions, perspective-correct."""
    ids, depth = np.full((height, width), -1), np.full((height, width), np.inf)
    barycentrics = np.zeros((height, width, 3))
    y, x = np.mgrid[:height, :width] + 0.5
    for f, corners in enumerate(faces):
        p = pixels[corners]
        if (p[:, 2] <= 1e-3).any():
            continue
        cross = [
            (p[j, 0] - p[i, 0]) * (y - p[i, 1]) - (p[j, 1] - p[i, 1]) * (x - p[i, 0])
            for i, j in ((1, 2), (2, 0), (0, 1))
        ]
        area = (p[1, 0] - p[0, 0]) * (p[2, 1] - p[0, 1]) - (p[1, 1] - p[0, 1]) * (p[2, 0] - p[0, 0])
        if area == 0 or (cull and area > 0):
            continue
        weights = np.stack(cross, -1) / area
        inverse = weights / p[:, 2]
        z = 1 / inverse.sum(-1)
        nearer = (weights >= 0).all(-1) & (z < depth)
        ids[nearer], depth[nearer] = f, z[nearer]
        barycentrics[nearer] = (inverse * z[..., None])[nearer]
    return ids, barycentrics, depth


def soup(count: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Triangles in pixels that cross each other, some beyond the picture, some behind the camera."""
    rng = np.random.default_rng(1)
    centres = np.repeat(rng.uniform(-5, 69, (count, 2)), 3, 0)
    pixels = np.c_[centres + rng.uniform(-18, 18, (3 * count, 2)), rng.uniform(-0.1, 2, 3 * count)]
    return pixels, np.arange(3 * count).reshape(-1, 3)


@pytest.mark.parametrize("cull", [False, True])
def test_the_z_buffer_equals_brute_force(cull):
    pixels, faces = soup()
    buffers = rasterize_mesh(pixels, faces, 48, 64, cull)
    ids, barycentrics, depth = brute_force(pixels, faces, 48, 64, cull)
    assert (ids >= 0).mean() > 0.3 and len(np.unique(ids)) > 10
    assert (buffers.face_ids != ids).sum() <= 2  # centres within rounding of an edge
    same = buffers.face_ids == ids
    assert np.allclose(buffers.barycentrics[same], barycentrics[same], atol=1e-5)
    assert np.allclose(buffers.depth[same], depth[same], rtol=1e-6)


def test_barycentrics_reconstruct_positions_and_depth():
    vertices, faces = sphere()
    camera = Camera(64, 64, 150.0, 150.0, 32.0, 32.0, look_at(np.array([0.5, 1, 5.0]), np.zeros(3)))
    buffers = rasterize_mesh(camera.project(vertices), faces, 64, 64)
    seen = buffers.mask
    points = buffers.interpolate(vertices, faces)[seen]
    y, x = np.nonzero(seen)
    again = camera.project(points.astype(float))
    assert np.allclose(again[:, :2], np.c_[x, y] + 0.5, atol=1e-3)
    assert np.allclose(again[:, 2], buffers.depth[seen], atol=1e-5)
    assert np.allclose(np.linalg.norm(points, axis=1), 1, atol=0.01)
    assert np.isinf(buffers.depth[~seen]).all() and not buffers.interpolate(vertices, faces)[~seen].any()


def test_a_sphere_covers_the_disc_of_its_outline():
    vertices, faces = sphere(32)
    camera = Camera(200, 200, 300.0, 300.0, 100.0, 100.0, look_at(np.array([0, 0, 4.0]), np.zeros(3)))
    area = rasterize_mesh(camera.project(vertices), faces, 200, 200).mask.sum()
    outline = 300 * np.tan(np.arcsin(1 / 4))  # tangent cone of a unit sphere at distance 4
    assert np.isclose(area, np.pi * outline**2, rtol=0.005)


def test_culling_changes_nothing_on_a_closed_mesh_and_hides_an_inverted_one():
    vertices, faces = sphere()
    camera = Camera(64, 64, 150.0, 150.0, 32.0, 32.0, look_at(np.array([0, 0, 5.0]), np.zeros(3)))
    pixels = camera.project(vertices)
    open_, culled = (rasterize_mesh(pixels, faces, 64, 64, cull) for cull in (False, True))
    assert np.array_equal(open_.face_ids, culled.face_ids)
    inverted = rasterize_mesh(pixels, faces[:, ::-1], 64, 64, True)  # now the far side faces the camera
    assert (inverted.depth[inverted.mask] > 5 - 0.25).all() and (culled.depth[culled.mask] < 5).all()


def test_neighbours_leave_no_gap_and_meet_once():
    """Two triangles of a square: every pixel centre inside belongs to one."""
    pixels = np.array([[3.2, 3.7, 1], [28.4, 4.1, 1], [27.9, 29.3, 1], [2.6, 28.8, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    both = rasterize_mesh(pixels, faces, 32, 32).mask
    halves = [rasterize_mesh(pixels, faces[[i]], 32, 32).mask for i in (0, 1)]
    assert np.array_equal(both, halves[0] | halves[1])
    assert both[5:27, 5:26].all()


def test_nothing_in_front_of_the_camera_gives_nothing():
    pixels = np.array([[0, 0, -1.0], [30, 0, -1], [0, 30, -1], [5, 5, np.nan]])
    assert not rasterize_mesh(pixels, np.array([[0, 2, 1], [0, 1, 3]]), 32, 32).mask.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 4)])
def test_pixels_are_sampled_as_scipy_does_and_edges_extend(dtype, shape):
    rng = np.random.default_rng(0)
    picture, points = rng.random(shape).astype(dtype), rng.uniform(-4, 14, (50, 3, 2))
    sampled = sample_pixels(picture, points)
    layers = picture.reshape(7, 9, -1)
    where = [points[..., 1] - 0.5, points[..., 0] - 0.5]
    expected = [map_coordinates(layers[..., d], where, order=1, mode="nearest") for d in range(layers.shape[2])]
    assert sampled.dtype == dtype and sampled.shape == (50, 3, *shape[2:])
    assert np.allclose(sampled.reshape(50, 3, -1), np.stack(expected, -1), rtol=0, atol=1e-6)


def test_places_that_are_no_numbers_do_not_leave_the_picture():
    picture = np.arange(12.0).reshape(3, 4)
    assert np.isin(
        sample_pixels(picture, np.array([[np.nan, np.inf], [-np.inf, 1.5], [np.inf, np.nan]])), picture
    ).all()
