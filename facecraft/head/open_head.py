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
_LID_OVERLAP_M = 1e-3
_LID_GAIN_MAX = 2.0
# inner lip points above one another, iBUG numbers, upper then lower
_LIP_PAIRS = ((61, 62, 63), (67, 66, 65))
# upper and lower lid points above one another, iBUG numbers, left eye then right
_LID_PAIRS = (((43, 47), (44, 46)), ((37, 41), (38, 40)))


class OpenHead(HeadModel):
    """The open head. Make one with `load_head()`.

    Beyond the interface: `metadata` (the file's header, with licence texts), `tooth_ids` [F] (-1 outside teeth; upper
    left 0-6 front to back, upper right 7-13, lower 14-27), `nostril_faces` (numbers of the faces inside the nostrils),
    `joints` [J, 3] m of the mean head, `eye_axes` [2, 3] (where the pupils point at gaze 0, left first).
    """

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
        for key in ("region_names", "expression_names", "edit_names", "joint_names", "joint_parents"):
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
        """The sparse expressions as one matrix: identity and expressions are then one product each."""
        rows = torch.repeat_interleave(torch.arange(len(self.expression_names)), self.expression_starts.diff())
        dense = torch.zeros(len(self.expression_names), len(self.template), 3)
        dense[rows, self.expression_vertices] = self.expression_deltas
        self.expression_matrix = dense.flatten(1)
        self.shape_matrix = self.shape_basis.flatten(1)
        del self.expression_vertices, self.expression_starts, self.expression_deltas, self.shape_basis
        self.lid_pairs = self.landmark68_vertices[torch.tensor(_LID_PAIRS)]  # [2 eyes, 2 pairs, upper and lower]
        heights = dense[:, self.lid_pairs, 1]
        self.lid_gap_deltas = (heights[..., 0] - heights[..., 1]).mean(2)
        self.lip_pairs = self.landmark68_vertices[torch.tensor(_LIP_PAIRS)].flatten()
        self.lip_deltas = dense[:, self.lip_pairs]
        jaw = torch.zeros(len(self.template)).index_copy(0, self.jaw_vertices, self.jaw_weights)
        self.lip_jaw_weights = jaw[self.lip_pairs]
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
        device = self.template.device if device is None else torch.device(device)
        if device == self.template.device and dtype in (None, self.template.dtype):
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
        vertices = torch.addmm(self.template.flatten(), shape, self.shape_matrix[:count]).unflatten(1, (-1, 3))
        joints = torch.addmm(self.joints.flatten(), shape, self.joint_basis[:count].flatten(1)).unflatten(1, (-1, 3))
        return vertices, joints

    def vertices(self, shape=None, expression=None, gaze=None, neck=None, offsets=None) -> Tensor:
        """Posed vertices [B, V, 3], m; see HeadModel.vertices."""
        batch = max(len(given) for given in (shape, expression, gaze, neck, offsets, (None,)) if given is not None)
        neutral, joints = self.shaped(shape)
        if offsets is not None:
            neutral = neutral + offsets
        if expression is None:
            expression = self.template.new_zeros(1, len(self.expression_names))
        weights = self._meet_lips(neutral, joints, self._meet_lids(neutral, expression)).expand(batch, -1)
        posed = self._express(neutral, joints, weights)
        look = (expression @ self.look_angles).unflatten(1, (2, 2))
        eyes = self._eye_rotations(look if gaze is None else look + gaze)
        blinks = weights[:, self.blinks].clamp(0, 1)
        scales = torch.ones_like(blinks[:1])
        if shape is not None:
            scales = scales + shape @ self.eye_scale_basis[: shape.shape[1]]
        for eye, side in enumerate(("left", "right")):
            centre = self._joint(joints, ("eye_L", "eye_R")[eye])
            self._turn_eyeball(posed, centre, eyes[:, eye], getattr(self, f"eyeball_{side}"))
            axes = eyes[:, eye] @ self.eye_axes[eye]
            self._lift_lids(posed, centre, axes, scales[:, eye, None], blinks[:, eye, None], side)
        return posed if neck is None else self._turn_head(posed, joints, neck)

    def _express(self, neutral, joints, weights) -> Tensor:
        """A new tensor [B, V, 3]: later steps write to it in place, which saves a copy each and is safe for gradients."""
        posed = torch.addmm(neutral.flatten(1), weights, self.expression_matrix).unflatten(1, (-1, 3))
        turns = rotations_from_axis_angles(weights[:, self.jaw_open, None] * self.jaw_open_axis)
        arms = neutral[:, self.jaw_vertices] - self._joint(joints, "jaw")
        return posed.index_add_(1, self.jaw_vertices, self.jaw_weights[:, None] * _swing(arms, turns))

    def _meet_lids(self, neutral, expression) -> Tensor:
        """Channels with the blinks that bring the lids together at 1, whatever else moves them.

        The lid gap is linear in the other channels, so the blink that makes it -1 mm has a closed form.
        """
        pairs = neutral[:, self.lid_pairs, 1]
        gaps = (pairs[..., 0] - pairs[..., 1]).mean(2)
        gaps = gaps + expression.index_fill(1, self.blinks, 0) @ self.lid_gap_deltas
        closing = -self.lid_gap_deltas[self.blinks].diagonal()
        gains = ((gaps + _LID_OVERLAP_M) / closing).clamp(0, _LID_GAIN_MAX)
        applied = expression.expand(len(gains), -1)
        return applied.index_copy(1, self.blinks, applied[:, self.blinks] * gains)

    def lip_closure(self, shape=None, expression=None, offsets=None) -> Tensor:
        """Weights [B] of mouthClose at which the lips touch; see HeadModel.lip_closure."""
        neutral, joints = self.shaped(shape)
        if offsets is not None:
            neutral = neutral + offsets
        if expression is None:
            expression = self.template.new_zeros(1, len(self.expression_names))
        return self._touching(neutral, joints, expression)[:, 0]

    def _meet_lips(self, neutral, joints, expression) -> Tensor:
        """Channels with mouthClose stopped where the lips touch."""
        channel = torch.tensor([self.mouth_close], device=expression.device)
        close = torch.minimum(expression[:, channel], self._touching(neutral, joints, expression))
        return expression.expand(len(close), -1).index_copy(1, channel, close)

    def _touching(self, neutral, joints, expression) -> Tensor:
        """mouthClose [B, 1] at which the first of the lip pairs meets."""
        others = expression.index_fill(1, torch.tensor([self.mouth_close], device=expression.device), 0)
        lips = neutral[:, self.lip_pairs]
        turns = rotations_from_axis_angles(expression[:, self.jaw_open, None] * self.jaw_open_axis)
        swing = self.lip_jaw_weights[:, None] * _swing(lips - self._joint(joints, "jaw"), turns)
        upper, lower = (lips + (others @ self.lip_deltas.flatten(1)).unflatten(1, (-1, 3)) + swing)[..., 1].chunk(2, 1)
        rising = self.lip_deltas[self.mouth_close, :, 1].view(2, -1)
        return ((upper - lower) / (rising[1] - rising[0])).amin(1, keepdim=True).clamp_min(0)

    def _eye_rotations(self, gaze) -> Tensor:
        """Rotations [B, 2, 3, 3] of both eyeballs: pitch about x, then yaw about y."""
        zero = torch.zeros_like(gaze[..., 0])
        yaw = rotations_from_axis_angles(torch.stack([zero, gaze[..., 0], zero], -1))
        pitch = rotations_from_axis_angles(torch.stack([gaze[..., 1], zero, zero], -1))
        return yaw @ pitch

    def _turn_eyeball(self, posed, centre, turns, ids):
        swing = _swing(posed[:, ids] - centre, turns)
        posed.index_add_(1, ids, swing.expand(len(posed), -1, -1))

    def _lift_lids(self, posed, centre, axes, scales, blinks, side):
        """Push lid vertices outwards that are deeper in the eyeball than they may be.

        The eyeball is a profile of radius against the angle from the gaze. At rest a vertex may be as deep as it is in
        the template (the corners of the eye are), so that neutral heads stay as they are; in a full blink none may.
        """
        ids = getattr(self, f"lid_{side}")
        at_rest, shut = getattr(self, f"lid_{side}_clearances")
        steps = len(self.eye_radii) - 1
        arms = posed[:, ids] - centre
        reach = arms.norm(dim=2).clamp_min(1e-4)
        places = ((arms @ axes[..., None])[..., 0] / reach).clamp(0, 1) * steps
        low = places.detach().long().clamp(0, steps - 1)
        inner, outer = self.eye_radii[low], self.eye_radii[low + 1]
        radii = scales * (inner + (outer - inner) * (places - low)) + at_rest + blinks * (shut - at_rest)
        lift = (radii - reach).clamp_min(0) / reach
        posed.index_add_(1, ids, arms * lift[..., None])

    def _turn_head(self, posed, joints, neck) -> Tensor:
        swing = _swing(posed - self._joint(joints, "neck"), rotations_from_axis_angles(neck))
        return torch.addcmul(posed, self.head_weights[:, None], swing)

    def _joint(self, joints, name) -> Tensor:
        return joints[:, self.joint_names.index(name), None]


def _swing(arms: Tensor, turns: Tensor) -> Tensor:
    """How far points at `arms` [B, N, 3] from a joint move when it turns by `turns` [B, 3, 3]."""
    return arms @ (turns - torch.eye(3, dtype=turns.dtype, device=turns.device)).mT
