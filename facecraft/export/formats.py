"""An avatar in the pose that was asked for, written in one of the formats that other programs read."""

import torch
from torch import Tensor

from facecraft.avatar import Avatar
from facecraft.drive import parse_expression
from facecraft.errors import InputError
from facecraft.export.gaussian_avatars import as_flame, write_bundle
from facecraft.export.gltf_splats import write_gltf_splats
from facecraft.export.head_mesh import write_head_glb
from facecraft.export.ply import write_ply
from facecraft.export.splat import write_splat
from facecraft.export.spz import write_spz
from facecraft.splats.colors import bake_colors
from facecraft.splats.gaussians import Gaussians
from facecraft.splats.rig import multiply_quaternions
from facecraft.workspace import StageRun

BAKED = "colours of the reference view, in f_dc"
_HALF_TURN = (1, -1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1, 1)
"""Signs of the harmonics up to degree 3 when y and z change theirs: 1; y z x; xy yz zz xz xx-yy; ..."""
VIEWER_AXES = "axes: x right, y down, z forward; metres"


def export_avatar(run: StageRun, format: str, expression: str, name: str) -> None:
    """Write the avatar of a workspace as its file or folder `name`.

    `format` is ply, splat (degree 0, the colours that the photo's camera sees), spz, gltf-splats, glb or gaussian-avatars. `expression` is as in `facecraft render`; without it,
    the pose is the photo's. ply and splat are turned as their viewers expect; all others stand in the head's axes.
    """
    avatar = Avatar.load(run.workspace / "avatar/avatar.safetensors")
    if not len(avatar.gaussians):
        raise InputError(
            f"{run.workspace / 'avatar/avatar.safetensors'} has no Gaussians; run `facecraft coin-fit --force`"
        )
    head = avatar.head
    pose, path = _pose(avatar, expression), run.output(name)
    extras = {"head": head.name, "head_digest": head.digest, "head_licence": head.licence}
    notes = (BAKED, *(f"{key} {value}" for key, value in extras.items()))
    match format:
        case "gaussian-avatars":
            bundle = as_flame(avatar, *pose)
            path.mkdir(parents=True)
            write_bundle(path, bundle, notes)
        case "glb":
            texture = run.workspace.require("head/texture.png").read_bytes()
            write_head_glb(path, avatar, texture, *pose, extras)
        case "gltf-splats":
            write_gltf_splats(path, avatar.pose(*pose), extras)
        case "spz":
            write_spz(path, avatar.pose(*pose))
        case "ply":
            write_ply(path, turn_for_viewers(avatar.pose(*pose)), (VIEWER_AXES, *notes))
        case "splat":
            viewmat = torch.as_tensor(avatar.camera.T_camera_world).float()
            write_splat(path, turn_for_viewers(bake_colors(avatar.pose(*pose), viewmat)))
        case _:
            raise AssertionError(format)
    run.use_weights(f"head/{head.name}", head.licence, head.digest)


def turn_for_viewers(gaussians: Gaussians) -> Gaussians:
    """Gaussians turned by half a turn about x: from the head's axes (x right, y up, z to the viewer) to those of COLMAP
    (y down, z forward), in which viewers expect PLY and .splat. Harmonics that are odd in y and z change their sign.
    """
    flip, half_turn = gaussians.means.new_tensor([1.0, -1, -1]), gaussians.quats.new_tensor([0.0, 1, 0, 0])
    return Gaussians(
        gaussians.means * flip,
        multiply_quaternions(half_turn.expand_as(gaussians.quats), gaussians.quats),
        gaussians.log_scales,
        gaussians.logit_opacities,
        gaussians.sh * gaussians.sh.new_tensor(_HALF_TURN[: gaussians.sh.shape[1]])[:, None],
    )


def _pose(avatar: Avatar, expression: str) -> tuple[Tensor, Tensor, Tensor]:
    """Channels [E], gaze [2, 2] and neck [3]: the photo's, or `expression` with eyes and head straight."""
    weights = parse_expression(expression)
    if not weights:
        return avatar.expression, avatar.gaze, avatar.neck
    return avatar.head.expression_vector(weights)[0], torch.zeros(2, 2), torch.zeros(3)
