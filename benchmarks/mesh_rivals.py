"""The mesh rasteriser and others: Mesa's llvmpipe through OpenGL, and Embree's ray tracing. facecraft needs neither.

All give in memory the triangle, its perspective-correct barycentrics and the depth at each pixel. The mesh is new in every
frame, as an avatar's is: OpenGL uploads it, Embree builds its tree. Ours and llvmpipe have one thread; Embree builds with all.
To have them: `pip install moderngl embreex`, and for OpenGL `apt-get install libegl1 libgl1-mesa-dri`.
"""

import os
import time
from collections.abc import Callable, Iterator
from ctypes.util import find_library
from importlib.util import find_spec

import numpy as np
from bars import Row, at_most
from machine import measure, use_threads

from facecraft.mesh.raster import rasterize_mesh

SIZE = 512
NEAR, FAR = 0.01, 10.0
_VERTEX = """
#version 330
uniform vec2 size;
in vec3 pixel;
out vec3 corner;
void main() {
    int k = gl_VertexID % 3;
    corner = vec3(k == 0, k == 1, k == 2);
    vec2 place = 2 * pixel.xy / size - 1;
    gl_Position = vec4(place * pixel.z, FAR_AND_NEAR, pixel.z);
}
""".replace("FAR_AND_NEAR", f"{(FAR + NEAR) / (FAR - NEAR)} * pixel.z - {2 * FAR * NEAR / (FAR - NEAR)}")
_FRAGMENT = """
#version 330
in vec3 corner;
out vec4 seen;
void main() { seen = vec4(corner.yz, 1 / gl_FragCoord.w, gl_PrimitiveID + 1); }
"""

Render = Callable[
    [np.ndarray], tuple[np.ndarray, np.ndarray]
]  # pixels [V, 3] to face ids [H, W], -1: nothing, and depth


def missing_for(package: str) -> str:
    """What is not installed, or nothing."""
    if find_spec(package) is None:
        return f"{package} is not installed"
    return "libEGL is not installed" if package == "moderngl" and find_library("EGL") is None else ""


def make_llvmpipe(faces: np.ndarray) -> Render:
    """OpenGL in software, on the calling thread."""
    os.environ |= {"LIBGL_ALWAYS_SOFTWARE": "1", "LP_NUM_THREADS": "0", "EGL_PLATFORM": "surfaceless"}
    import moderngl

    context = moderngl.create_standalone_context(backend="egl", libgl="libGL.so.1", libegl="libEGL.so.1")
    assert "llvmpipe" in context.info["GL_RENDERER"], context.info["GL_RENDERER"]
    context.enable(moderngl.DEPTH_TEST)
    program = context.program(_VERTEX, _FRAGMENT)
    program["size"] = (SIZE, SIZE)
    corners = context.buffer(reserve=3 * 3 * 4 * len(faces), dynamic=True)
    array = context.vertex_array(program, [(corners, "3f", "pixel")])
    target = context.framebuffer(
        [context.texture((SIZE, SIZE), 4, dtype="f4")], context.depth_renderbuffer((SIZE, SIZE))
    )
    target.use()
    seen = np.empty((SIZE, SIZE, 4), np.float32)

    def render(pixels: np.ndarray):
        corners.write(pixels.astype(np.float32)[faces])
        target.clear()
        array.render(moderngl.TRIANGLES)
        target.read_into(seen, components=4, dtype="f4")
        return seen[..., 3].astype(np.int32) - 1, seen[..., 2]

    return render


def make_embree(faces: np.ndarray) -> Render:
    """Rays through the pixel centres of a camera with a focal length of SIZE px; rays are made once."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    places = (np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1) + 0.5 - SIZE / 2) / SIZE
    directions = np.concatenate([places, np.ones((SIZE, SIZE, 1))], -1).reshape(-1, 3).astype(np.float32)
    origins, triangles = np.zeros_like(directions), faces.astype(np.int32)

    def render(pixels: np.ndarray):
        points = np.column_stack([(pixels[:, :2] - SIZE / 2) / SIZE * pixels[:, 2:], pixels[:, 2]])
        scene = EmbreeScene()
        TriangleMesh(scene, points.astype(np.float32), triangles)
        hits = scene.run(origins, directions, output=1)
        return hits["primID"].reshape(SIZE, SIZE), hits["tfar"].reshape(SIZE, SIZE)

    return render


RIVALS = (("llvmpipe", "moderngl", make_llvmpipe, 1.5), ("Embree", "embreex", make_embree, 5.0))
"""Name, package, how it is made, and how many times as fast ours has to be."""


def ellipsoid() -> tuple[np.ndarray, np.ndarray]:
    """15,000 triangles, back and front: pixels [V, 3] (x px, y px, depth m) and faces [F, 3]."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 126), np.linspace(0, np.pi, 61))
    x, y, z = 150 * np.sin(v) * np.cos(u), 220 * np.cos(v), 0.1 * np.sin(v) * np.sin(u)
    corner = (np.arange(60)[:, None] * 126 + np.arange(125)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, 1, 126], corner + [1, 127, 126]])
    return np.stack([SIZE / 2 + x, SIZE / 2 + y, 1 + z], -1).reshape(-1, 3), faces


def rows_of_mesh() -> Iterator[Row]:
    """Our time, and how many times as long the others take: calls of all in turn, their medians and their best."""
    use_threads(1)
    pixels, faces = ellipsoid()

    def ours(pixels):
        buffers = rasterize_mesh(pixels, faces, SIZE, SIZE)
        return buffers.face_ids, buffers.depth

    renders = {"ours": ours}
    renders |= {name: make(faces) for name, package, make, _ in RIVALS if not missing_for(package)}
    ids, depth = ours(pixels)
    for name, render in renders.items():
        other_ids, other_depth = render(pixels)
        assert (other_ids == ids).mean() > 0.999, name
        both = (ids >= 0) & (other_ids >= 0)
        assert np.abs(other_depth[both] - depth[both]).max() < 1e-4, name

    def step():
        spent = {}
        for name, render in renders.items():
            start = time.perf_counter()
            render(pixels)
            spent[name] = time.perf_counter() - start
        return spent

    times, best = measure(step)
    what = f"mesh of {len(faces)} triangles, {SIZE}^2 1T"
    yield at_most(what, 5, " ms", times["ours"], best["ours"])
    for name, package, _, bar in RIVALS:
        if name not in renders:
            yield f"{what}, times as fast as {name}", f">= {bar}x", "--", missing_for(package)
            continue
        ratio, best_ratio = times[name] / times["ours"], best[name] / best["ours"]
        verdict = ratio >= bar or ("best holds" if best_ratio >= bar else False)
        yield f"{what}, times as fast as {name}", f">= {bar}x", f"{ratio:.1f}x ({best_ratio:.1f})", verdict
