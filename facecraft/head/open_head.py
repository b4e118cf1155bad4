"""The open head: facecraft's own full head, trained by training/open_head.py from MIT and CC0 data; shipped in the package.

Skin, ears, neck, shoulders, eyeballs, teeth, gums and tongue in one mesh. Identity is linear; expressions are linear
except the jaw, which turns about its joint, and the lids, which close on the eyeball of whoever they belong to.
"""

import copy
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from facecraft.errors import InputError
from facecraft.head.model import HeadModel, rotations_from_axis_angles

OPEN_HEAD_FILE = Path(__file__).with_name("open_head.safetensors")
FORMAT = "facecraft-open-head/1"

# what an eyeLook channel of 1 turns the eyeball by, deg: the reach of ARKit's own eye transforms
_LOOK_DEG = {"In": 25.0, "Out": 25.0, "Up": 20.0, "Down": 23.0}
# lids overlap by this much when shut: a gap of exactly 0 shows the eye between vertices
_LID_OVERLAP_M = 0.6e-3
_LID_GAIN_MAX = 2.0
# full mouthClose on a full jawOpen makes the lips cross by 7.5 mm; this share makes them meet
_MOUTH_CLOSE_SHARE = 0.8
# upper and lower lid points above one another, iBUG numbers, left eye then right
_LID_PAIRS = (((43, 47), (44, 46)), ((37, 41), (38, 40)))


class OpenHead(HeadModel):
    """The open head. Make one with `load_head()`."""

    name = "open"

    @classmethod
    def load(cls, path: Path) -> "OpenHead":
        """Read a model file. InputError when it is missing or is not an open head."""
        try:
            data = Path(path).read_bytes()
            with safe_open(path, "np") as file:
                header = json.loads((file.metadata() or {}).get("facecraft", "{}"))
                arrays = {key: file.get_tensor(key) for key in file.keys()}
        except (OSError, SafetensorError, json.JSONDecodeError) as error:
            raise InputError(f"{path} cannot be read as a head ({error}); install facecraft again") from error
        if header.get("format") != FORMAT:
            raise InputError(f"{path} has format {header.get('format')}, not {FORMAT}; install facecraft again")
        head = cls(arrays, header)
        head.digest = hashlib.sha256(data).hexdigest()
        return head

    def __init__(self, arrays: dict[str, np.ndarray], header: dict):
        for key in ("region_names", "expression_names", "joint_names", "joint_parents"):
            setattr(self, key, tuple(header[key]))
        self.metadata = header
        self.licence = "; ".join(f"{part['source']}: {part['licence']}" for part in header["licences"])
        for key, array in arrays.items():
            floating = np.issubdtype(array.dtype, np.floating)
            setattr(self, key, torch.from_numpy(np.array(array, np.float32 if floating else np.int64)))
        self.shape_count = len(self.shape_basis)
        self._spread_expressions()
        self._find_channels()

    def _spread_expressions(self):
        """The sparse expressions as one matrix over the vertices that any of them moves: one product per head."""
        self.moving, places = torch.unique(self.expression_vertices, return_inverse=True)
        rows = torch.repeat_interleave(torch.arange(len(self.expression_names)), self.expression_starts.diff())
        dense = torch.zeros(len(self.expression_names), len(self.moving), 3)
        dense[rows, places] = self.expression_deltas
        self.expression_matrix = dense.flatten(1)
        self.shape_matrix = self.shape_basis.flatten(1)
        del self.expression_vertices, self.expression_starts, self.expression_deltas, self.shape_basis

        lid_pairs = self.landmark68_vertices[torch.tensor(_LID_PAIRS)]
        self.lid_pairs = lid_pairs  # [2 eyes, 2 pairs, upper and lower]
        heights = torch.zeros(len(self.expression_names), len(self.template))
        heights[:, self.moving] = dense[..., 1]
        self.lid_gap_deltas = (heights[:, lid_pairs[..., 0]] - heights[:, lid_pairs[..., 1]]).mean(2)
        self.head_weights = 1 - self.skin_weights[:, self.joint_names.index("root")]

    def _find_channels(self):
        index = self.expression_names.index
        self.jaw_open, self.mouth_close = index("jawOpen"), index("mouthClose")
        self.blinks = torch.tensor([index("eyeBlinkLeft"), index("eyeBlinkRight")])
        look = torch.zeros(len(self.expression_names), 2, 2)
        for eye, (side, outward) in enumerate((("Left", 1.0), ("Right", -1.0))):
            for direction, column, sign in (
                ("In", 0, -outward),
                ("Out", 0, outward),
                ("Up", 1, -1.0),
                ("Down", 1, 1.0),
            ):
                look[index(f"eyeLook{direction}{side}"), eye, column] = sign * math.radians(_LOOK_DEG[direction])
        self.look_angles = look.flatten(1)

    def to(self, device=None, dtype=None) -> "OpenHead":
        """The same head on `device` and as `dtype`; itself when nothing changes."""
        if device in (None, self.template.device) and dtype in (None, self.template.dtype):
            return self
        head = copy.copy(self)
        for key, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(head, key, value.to(device, dtype if value.is_floating_point() else None))
        return head

    def shaped(self, shape=None) -> tuple[Tensor, Tensor]:
        """Vertices [B, V, 3] and joints [B, J, 3] of a neutral, unposed identity, m."""
        if shape is None:
            return self.template[None], self.joints[None]
        assert shape.ndim == 2 and shape.shape[1] <= self.shape_count, shape.shape
        count = shape.shape[1]
        vertices = self.template + (shape @ self.shape_matrix[:count]).unflatten(1, (-1, 3))
        joints = self.joints + (shape @ self.joint_basis[:count].flatten(1)).unflatten(1, (-1, 3))
        return vertices, joints

    def vertices(self, shape=None, expression=None, gaze=None, neck=None, offsets=None) -> Tensor:
        """Posed vertices [B, V, 3], m; see HeadModel.vertices."""
        neutral, joints = self.shaped(shape)
        if offsets is not None:
            neutral = neutral + offsets
        if expression is None:
            expression = self.template.new_zeros(1, len(self.expression_names))
        weights = self._lid_and_lip_weights(neutral, expression)
        posed = self._express(neutral, joints, weights)
        look = (expression @ self.look_angles).unflatten(1, (2, 2))
        eyes = self._eye_rotations(look if gaze is None else look + gaze)
        posed = self._turn_eyeballs(posed, joints, eyes)
        posed = self._lift_lids(posed, joints, eyes, weights[:, self.blinks], shape)
        if neck is not None:
            posed = self._turn_head(posed, joints, neck)
        return posed

    def _express(self, neutral, joints, weights) -> Tensor:
        deltas = (weights @ self.expression_matrix).unflatten(1, (-1, 3))
        batch = max(len(neutral), len(weights))
        posed = neutral.expand(batch, -1, -1).index_add(1, self.moving, deltas.expand(batch, -1, -1))
        turn = rotations_from_axis_angles(weights[:, self.jaw_open, None] * self.jaw_open_axis)
        arms = neutral[:, self.jaw_vertices] - self._joint(joints, "jaw")
        arcs = self.jaw_weights[:, None] * (arms @ turn.mT - arms)
        return posed.index_add(1, self.jaw_vertices, arcs.expand(batch, -1, -1))

    def _lid_and_lip_weights(self, neutral, expression) -> Tensor:
        """Channels as they are applied: a blink of 1 brings the lids together whatever else moves them.

        The lid gap is linear in the other channels, so the blink that makes it -0.6 mm has a closed form.
        """
        jaw = expression[:, self.jaw_open]
        close = _MOUTH_CLOSE_SHARE * torch.minimum(expression[:, self.mouth_close], jaw.clamp_min(0))
        blinks = expression[:, self.blinks]
        pairs = neutral[:, self.lid_pairs, 1]
        gaps = (pairs[..., 0] - pairs[..., 1]).mean(2)
        others = expression.index_fill(1, self.blinks, 0)
        gaps = gaps + others @ self.lid_gap_deltas
        closing = -self.lid_gap_deltas[self.blinks].diagonal()
        gains = ((gaps + _LID_OVERLAP_M) / closing).clamp(0, _LID_GAIN_MAX)
        applied = expression.expand(len(gains), -1).index_copy(1, self.blinks, blinks * gains)
        mouth = torch.tensor([self.mouth_close], device=expression.device)
        return applied.index_copy(1, mouth, close[:, None].expand(len(gains), -1))

    def _eye_rotations(self, gaze) -> Tensor:
        """Rotations [B, 2, 3, 3] of both eyeballs: pitch about x, then yaw about y."""
        zero = torch.zeros_like(gaze[..., 0])
        yaw = rotations_from_axis_angles(torch.stack([zero, gaze[..., 0], zero], -1))
        pitch = rotations_from_axis_angles(torch.stack([gaze[..., 1], zero, zero], -1))
        return yaw @ pitch

    def _turn_eyeballs(self, posed, joints, eyes) -> Tensor:
        batch = max(len(posed), len(eyes))
        posed = posed.expand(batch, -1, -1)
        for eye, (side, ids) in enumerate((("eye_L", self.eyeball_left), ("eye_R", self.eyeball_right))):
            centre = self._joint(joints, side)
            posed = posed.index_copy(
                1, ids, ((posed[:, ids] - centre) @ eyes[:, eye].mT + centre).expand(batch, -1, -1)
            )
        return posed

    def _lift_lids(self, posed, joints, eyes, blinks, shape) -> Tensor:
        """Push lid vertices outwards that are deeper in the eyeball than they may be.

        The eyeball is a profile of radius against the angle from the gaze. At rest a vertex may be as deep as it is in
        the template (the corners of the eye are), so that neutral heads stay as they are; in a full blink none may.
        """
        scales = torch.ones(1, 2, dtype=posed.dtype, device=posed.device)
        if shape is not None:
            scales = scales + shape @ self.eye_scale_basis[: shape.shape[1]]
        steps = len(self.eye_radii) - 1
        lids = (
            ("eye_L", self.lid_left, self.lid_left_clearances),
            ("eye_R", self.lid_right, self.lid_right_clearances),
        )
        for eye, (side, ids, clearances) in enumerate(lids):
            arms = posed[:, ids] - self._joint(joints, side)
            reach = arms.norm(dim=2).clamp_min(1e-4)
            axis = eyes[:, eye] @ self.eye_axes[eye]
            places = ((arms * axis[:, None]).sum(2) / reach).clamp(0, 1) * steps
            low = places.detach().floor().clamp(0, steps - 1)
            left, right = self.eye_radii[low.long()], self.eye_radii[low.long() + 1]
            radii = scales[:, eye, None] * (left + (right - left) * (places - low))
            radii = radii + clearances[0] + blinks[:, eye, None].clamp(0, 1) * (clearances[1] - clearances[0])
            lift = (radii - reach).clamp_min(0) / reach
            posed = posed.index_add(1, ids, (arms * lift[..., None]).expand(len(posed), -1, -1))
        return posed

    def _turn_head(self, posed, joints, neck) -> Tensor:
        arms = posed - self._joint(joints, "neck")
        return posed + self.head_weights[:, None] * (arms @ rotations_from_axis_angles(neck).mT - arms)

    def _joint(self, joints, name) -> Tensor:
        return joints[:, self.joint_names.index(name), None]
