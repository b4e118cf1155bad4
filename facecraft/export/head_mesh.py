"""The head as an animatable mesh (GLB): texture, skeleton and the 52 ARKit channels as morph targets by name.

Blender, three.js and Unity drive the targets by their names (`mesh.extras.targetNames`). The skeleton turns head, jaw and
eyes; jawOpen and the eyeLook targets hold the same turns as straight ways, so drive either, not both. A target is exact at
weight 1; in between, a turn of the jaw is about 2 mm off its arc, and lids and lips do not correct each other as they
do in the avatar.
"""

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from facecraft.avatar import Avatar
from facecraft.export.gltf import GlbWriter
from facecraft.mesh.geometry import vertex_normals

_LEAST_MOVE_M, _LEAST_TURN = 1e-5, 1e-3
"""Vertices that a target moves less, and normals that it changes less, are left out of it."""


def write_head_glb(
    path: Path,
    avatar: Avatar,
    texture_png: bytes,
    expression: Tensor,  # [E] initial weights
    gaze: Tensor,  # [2, 2] left and right eye: yaw, pitch, rad
    neck: Tensor,  # [3] axis times angle, rad
    extras: dict | None = None,
) -> None:
    """Write the neutral head; the pose is in the initial weights of the targets and turns of the joints."""
    head = avatar.head
    corners = _texture_corners(head)
    faces, faces_uv = head.faces.numpy(), head.faces_uv.numpy()
    names, shapes = _targets(avatar)
    normals = [vertex_normals(shape.astype(float), faces) for shape in shapes]
    writer = GlbWriter(extras or {})
    joints, weights = _skin(head.skin_weights.numpy())
    attributes = {
        "POSITION": writer.add_vertices(shapes[0][corners], bounds=True),
        "NORMAL": writer.add_vertices(normals[0][corners].astype(np.float32)),
        "TEXCOORD_0": writer.add_vertices(np.stack([head.uvs.numpy()[:, 0], 1 - head.uvs.numpy()[:, 1]], 1)),
        "JOINTS_0": writer.add_vertices(joints[corners]),
        "WEIGHTS_0": writer.add_vertices(weights[corners]),
    }
    targets = [
        {
            "POSITION": writer.add_sparse(_rounded(shape - shapes[0], _LEAST_MOVE_M)[corners]),
            "NORMAL": writer.add_sparse(_rounded(normal - normals[0], _LEAST_TURN)[corners]),
        }
        for shape, normal in zip(shapes[1:], normals[1:], strict=True)
    ]
    primitive = {"attributes": attributes, "indices": writer.add_indices(faces_uv), "material": 0, "targets": targets}
    mesh = {"name": "head", "primitives": [primitive], "weights": expression.tolist(), "extras": {"targetNames": names}}
    _add_texture(writer, texture_png)
    writer.scene |= {"meshes": [mesh], "scene": 0}
    _add_skeleton(writer, avatar, gaze.numpy(), neck.numpy())
    writer.write(path)


def _texture_corners(head) -> np.ndarray:
    """The vertex [T] of each texture vertex: the mesh is cut along the seams of its texture."""
    corners = np.zeros(len(head.uvs), int)
    corners[head.faces_uv.numpy()] = head.faces.numpy()
    return corners


def _targets(avatar: Avatar) -> tuple[list[str], np.ndarray]:
    """Names of the channels and vertices [1 + E, V, 3]: neutral, then each channel at 1.

    mouthClose closes an open mouth, as ARKit means it: its target is what it does when jawOpen is 1.
    """
    names = list(avatar.head.expression_names)
    channels = torch.cat([torch.zeros(1, len(names)), torch.eye(len(names))])
    with_open = [names.index("jawOpen"), names.index("mouthClose")] if "mouthClose" in names else []
    if with_open:
        channels[1 + with_open[1], with_open[0]] = 1
    with torch.no_grad():
        shapes = avatar.head.vertices(avatar.shape[None], channels, offsets=avatar.offsets[None]).numpy().copy()
    if with_open:
        opened, closed = (1 + channel for channel in with_open)
        shapes[closed] += shapes[0] - shapes[opened]
    return names, shapes


def _rounded(deltas: np.ndarray, least: float) -> np.ndarray:
    kept = np.linalg.norm(deltas, axis=1, keepdims=True) > least
    return (deltas * kept).astype(np.float32)


def _skin(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The four joints [V, 4] uint8 that hold each vertex most, and their weights [V, 4], which sum to 1."""
    padded = np.pad(weights, ((0, 0), (0, max(4 - weights.shape[1], 0))))
    joints = np.argsort(-padded, axis=1, kind="stable")[:, :4]
    chosen = np.take_along_axis(padded, joints, 1)
    chosen /= chosen.sum(1, keepdims=True)
    return np.where(chosen > 0, joints, 0).astype(np.uint8), chosen.astype(np.float32)


def _add_texture(writer: GlbWriter, png: bytes) -> None:
    view = writer.add_bytes(png)
    surface = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 0.8}
    writer.scene |= {
        "images": [{"bufferView": view, "mimeType": "image/png"}],
        "samplers": [{"wrapS": 33071, "wrapT": 33071}],  # clamp to the edge
        "textures": [{"source": 0, "sampler": 0}],
        "materials": [{"name": "head", "pbrMetallicRoughness": surface}],
    }


def _add_skeleton(writer: GlbWriter, avatar: Avatar, gaze: np.ndarray, neck: np.ndarray) -> None:
    """Nodes of the mesh and its joints, and the skin between them."""
    head = avatar.head
    places = head.shaped(avatar.shape[None])[1][0].double().numpy()
    turns = {"neck": Rotation.from_rotvec(neck)}
    turns |= {f"eye_{side}": Rotation.from_euler("YX", angles) for side, angles in zip("LR", gaze, strict=True)}
    nodes = [{"name": "head", "mesh": 0, "skin": 0}]
    for j, (name, parent) in enumerate(zip(head.joint_names, head.joint_parents, strict=True)):
        node = {"name": name, "translation": (places[j] - (places[parent] if parent >= 0 else 0)).tolist()}
        if name in turns:
            node["rotation"] = turns[name].as_quat().tolist()  # xyzw
        if children := [1 + k for k, above in enumerate(head.joint_parents) if above == j]:
            node["children"] = children
        nodes.append(node)
    inverse = np.tile(np.eye(4), (len(places), 1, 1))
    inverse[:, :3, 3] = -places
    joints = list(range(1, len(nodes)))
    roots = [1 + j for j, parent in enumerate(head.joint_parents) if parent < 0]
    skin = {"joints": joints, "skeleton": roots[0], "inverseBindMatrices": writer.add_matrices(inverse)}
    writer.scene |= {"nodes": nodes, "skins": [skin], "scenes": [{"nodes": [0, *roots]}]}
