"""The open video prior: a picture of a head warped through its mesh from one expression to another.

What both expressions show is taken from the picture, lit as it lies now. What only the new one shows (the inside of the
mouth, lids, eyeballs) is the textured head, its colours drawn to those of the picture along the seam.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from facecraft.blur import blur_known
from facecraft.camera import Camera
from facecraft.head.fitted import FittedHead
from facecraft.head.fringe import find_fringe
from facecraft.head.lidpaint import draw_lashes, shut_shares, unfold_lids
from facecraft.head.lids import lash_tones, lid_shares
from facecraft.head.model import landmark_points
from facecraft.head.surface import SKIN_REGIONS
from facecraft.head.texture import render_textured
from facecraft.mesh.light import shade, shading_normals
from facecraft.mesh.raster import MeshBuffers, rasterize_mesh
from facecraft.prior.mouth import close_slit, shade_beside, shade_mouth
from facecraft.views import View

FINE = 2  # samples of a pixel in each direction
NEAR_M = 3e-3  # what lies further behind the surface is hidden by it
SHRUNK = (0.2, 0.55)  # area in the picture over the new one at which a triangle shows too little, enough
LID_SHRUNK = (0.5, 0.9)  # likewise of shut lids, which lashes cross where they are open
LID_SEAM_M = 1.2e-3  # softness of the seams of shut lids
WET_M = 2.5e-3  # rims of eyes, which are no skin that a lid could have the colour of
EYE_TONE, EYE_SHADE_M = 0.75, 2e-3  # how dark painted eyes are beside their lids, and how far these shade them
RIM_PX = 1.5  # skin this close to eyes and mouth has their colours in it
LIP_LINE_M = 2e-3  # lips this close touch
SEAM_PX, MATCH_PX = 1.5, 8.0  # softness of seams, and how far colours are drawn to the picture's
STAYED_PX = 1.0
EDGE_PX = 1.5  # a picture's soft edge is this wide
ALONG_PX = 12.0  # how far beside the mesh the picture moves with it
SKIN, EYES, TEETH, MOUTH = range(4)
_PARTS = {"eye_socket": SKIN, "eyeball": EYES, "teeth_upper": TEETH}  # all else inside is MOUTH


@dataclass(frozen=True)
class Warp:
    """A picture, and the mesh [V, 3] m as it shows it."""

    fitted: FittedHead
    view: View
    vertices: np.ndarray

    @cached_property
    def camera(self) -> Camera:
        """The picture's camera, finer."""
        return self.view.camera.resized(FINE * self.view.camera.width, FINE * self.view.camera.height)

    @cached_property
    def groups(self) -> np.ndarray:
        """What the faces [F] belong to: SKIN, EYES, upper TEETH or the rest of the MOUTH."""
        head = self.fitted.head
        kinds = [
            SKIN
            if name in SKIN_REGIONS
            else next((kind for start, kind in _PARTS.items() if name.startswith(start)), MOUTH)
            for name in head.region_names
        ]
        return np.array(kinds)[head.face_regions.numpy()]

    @cached_property
    def lids(self) -> np.ndarray:
        """How far [V, 2] the skin is lid of the right and of the left eye."""
        return lid_shares(self.fitted.head)

    @cached_property
    def px_per_m(self) -> float:
        """Of the face in the finer picture."""
        depth = self.camera.project(self.vertices[self.lids.any(1)])[:, 2].mean()
        return self.camera.fx / depth

    @cached_property
    def lash_tones(self) -> np.ndarray:
        """How dark [2] the lashes of both eyes are, right first."""
        pixels = self.camera.project(landmark_points(self.fitted.head, self.vertices))[:, :2]
        return lash_tones(self.picture[..., :3], pixels, self.px_per_m)

    @cached_property
    def before(self) -> MeshBuffers:
        return self._rasterize(self.vertices)

    @cached_property
    def picture(self) -> np.ndarray:
        """[H, W, 8]: rgb, alpha, distances of the pixel to the mesh, to eyes and mouth and to skin, fine px, and its shading."""
        view, size = self.view, (self.camera.width, self.camera.height)
        rgba = np.concatenate([view.rgb, view.alpha[..., None]], 2).astype(np.float32)
        rgba = cv2.resize(rgba, size, interpolation=cv2.INTER_LINEAR)
        skin = _distance(self._shows(self.before, SKIN))
        shading = self._shading(self.vertices, self.before)
        return np.dstack([rgba, _distance(self.before.mask), self._rim(self.before), skin, shading])

    @cached_property
    def fringe(self) -> np.ndarray:
        """How far [H, W] hair hangs over the face."""
        rgb, alpha, brightness = self.picture[..., :3], self.picture[..., 3], self.picture[..., 7:]
        return find_fringe(self.fitted.head, self.before, rgb / brightness, alpha, self.px_per_m)

    @cached_property
    def backdrop(self) -> np.ndarray:
        """What is beside and behind the mesh [H, W, 4]: behind it, the nearest that is seen beside it."""
        beside = self.picture[..., 4] > EDGE_PX * FINE
        if not beside.any():
            return np.zeros_like(self.picture[..., :4])
        _, labels = cv2.distanceTransformWithLabels(
            (~beside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        colours = np.zeros((labels.max() + 1, 4), np.float32)
        colours[labels[beside]] = self.picture[beside, :4]
        return colours[labels]

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """The picture [H, W, 4], straight alpha, with the mesh at `vertices` [V, 3], m."""
        faces = self.fitted.head.faces.numpy()
        after = self._rasterize(vertices)
        places = self.camera.project(after.interpolate(self.vertices, faces).astype(float))
        places[~after.mask] = 0
        moved = self._beside(after, places)
        sampled = _sample(self.picture, np.where(after.mask[..., None], places[..., :2], moved))
        skin, shading = self._shows(after, SKIN), self._shading(vertices, after)
        sampled[..., :3] *= np.where(skin, shading / sampled[..., 7], 1)[..., None]
        points = landmark_points(self.fitted.head, vertices)
        shut = shut_shares(points, landmark_points(self.fitted.head, self.vertices))
        lids = after.interpolate(self.lids, faces) * after.mask[..., None]
        folded = (lids * shut).sum(2)
        share = self._share(vertices, after, places, sampled, folded)
        painted = render_textured(self.fitted.head, vertices, self.fitted.texture, self.camera, 1)[0]
        group = np.where(after.mask, self.groups[after.face_ids], -1)
        painted = _draw_near(painted, sampled[..., :3], share, group)
        painted = shade_mouth(painted, group == TEETH, skin, self.px_per_m)
        painted = shade_beside(painted, group == EYES, skin, EYE_TONE, EYE_SHADE_M * self.px_per_m)
        bare = share * skin * (sampled[..., 5] > WET_M * self.px_per_m)
        painted = unfold_lids(painted, sampled[..., :3], bare, lids.any(2), shading, self.px_per_m)
        share = self._soften(share, folded)[..., None]
        inside = np.concatenate([share * sampled[..., :3] + (1 - share) * painted, np.ones_like(share)], 2)
        inside[..., 3:] = share * sampled[..., 3:4] + 1 - share
        inside[..., :3] = close_slit(
            inside[..., :3], np.isin(group, (TEETH, MOUTH)), group == TEETH, skin, self.px_per_m
        )
        pixels = self.camera.project(points)[:, :2]
        lashes = draw_lashes(pixels, shut, self.lash_tones, share.shape[:2], self.px_per_m)
        inside[..., :3] *= lashes[..., None]
        inside += self.fringe[..., None] * (self.picture[..., :4] - inside)
        # beside the mesh the picture goes on as far as it can be told from the mesh's own soft edge
        edge = (_distance(after.mask) < EDGE_PX * FINE) & (sampled[..., 4] > 0.5)
        kept = edge | (sampled[..., 4] > EDGE_PX * FINE)
        outside = np.where(kept[..., None], sampled[..., :4], self.backdrop)
        return _shrink(np.where(after.mask[..., None], inside, outside).clip(0, 1))

    def _rasterize(self, vertices: np.ndarray) -> MeshBuffers:
        camera = self.camera
        return rasterize_mesh(camera.project(vertices), self.fitted.head.faces.numpy(), camera.height, camera.width)

    def _shading(self, vertices: np.ndarray, buffers: MeshBuffers) -> np.ndarray:
        """How bright [H, W] the light of the photo makes the mesh at `vertices` [V, 3]; 1 beside it."""
        faces = self.fitted.head.faces.numpy()
        brightness = shade(shading_normals(vertices, faces), self.fitted.texture.light)
        return np.where(buffers.mask, buffers.interpolate(brightness[:, None], faces)[..., 0], np.float32(1))

    def _shows(self, buffers: MeshBuffers, kind: int) -> np.ndarray:
        """Where [H, W] a group of faces is seen."""
        return buffers.mask & (self.groups[buffers.face_ids] == kind)

    def _soften(self, share: np.ndarray, folded: np.ndarray) -> np.ndarray:
        """`share` [H, W] with soft seams, softer where lids are `folded` [H, W] open."""
        soft = cv2.GaussianBlur(cv2.erode(share, np.ones((3, 3))), (0, 0), SEAM_PX * FINE / 2)
        if not folded.any():
            return soft
        radius = 1 + 2 * round(LID_SEAM_M * self.px_per_m)
        wide = cv2.GaussianBlur(cv2.erode(share, np.ones((radius, radius))), (0, 0), LID_SEAM_M * self.px_per_m)
        there = cv2.GaussianBlur(folded.astype(np.float32), (0, 0), LID_SEAM_M * self.px_per_m)
        return soft + there.clip(0, 1) * (np.minimum(wide, soft) - soft)

    def _rim(self, buffers: MeshBuffers) -> np.ndarray:
        """Distance [H, W], fine px, of each pixel to where eyes or the inside of the mouth are seen; the line between lips
        that touch is neither, but part of the lips."""
        group = np.where(buffers.mask, self.groups[buffers.face_ids], SKIN)
        line = np.ones((1 + round(LIP_LINE_M * self.px_per_m),) * 2, np.uint8)
        mouth = cv2.morphologyEx(np.isin(group, (TEETH, MOUTH)).astype(np.uint8), cv2.MORPH_OPEN, line)
        return _distance((group == EYES) | (mouth > 0))

    def _beside(self, after: MeshBuffers, places: np.ndarray) -> np.ndarray:
        """Where the picture beside the mesh comes from [H, W, 2], fine px: it moves with the nearest point, less and less."""
        height, width = after.mask.shape
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), 2) + 0.5
        distance, labels = cv2.distanceTransformWithLabels(
            (~after.mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        nearest = np.zeros((labels.max() + 1, 2))
        nearest[labels[after.mask]] = (places[..., :2] - grid)[after.mask]
        fading = np.exp(-((distance / (ALONG_PX * FINE)) ** 2))[..., None]
        return grid + fading * nearest[labels]

    def _share(self, vertices, after: MeshBuffers, places: np.ndarray, sampled: np.ndarray, folded) -> np.ndarray:
        """How far [H, W] the picture shows what is seen now; `folded` [H, W]: lids that it shows open."""
        x, y = (places[..., i].astype(int).clip(0, n - 1) for i, n in ((0, self.camera.width), (1, self.camera.height)))
        there = self.before.face_ids[y, x]
        same = (self.groups[there] == self.groups[after.face_ids]) & (there >= 0) & after.mask
        same &= places[..., 2] < self.before.depth[y, x] + NEAR_M
        faces = self.fitted.head.faces.numpy()
        areas = [_areas(self.camera.project(v), faces) for v in (self.vertices, vertices)]
        ratio = after.interpolate((areas[0] / np.maximum(areas[1], 1e-6))[:, None], faces)[..., 0]
        low, high = (a + folded * (b - a) for a, b in zip(SHRUNK, LID_SHRUNK, strict=True))
        shown = np.clip((ratio - low) / (high - low), 0, 1)
        skin, teeth = (self.groups[after.face_ids] == kind for kind in (SKIN, TEETH))
        dirty = skin & (sampled[..., 5] < RIM_PX * FINE) & (self._rim(after) > 2 * RIM_PX * FINE)
        dirty |= teeth & (sampled[..., 6] < RIM_PX * FINE)
        # the mesh does not know which teeth a smile shows: what lies in the mouth is taken only from where it is
        grid = np.stack(np.meshgrid(np.arange(self.camera.width), np.arange(self.camera.height)), 2) + 0.5
        stayed = np.abs(places[..., :2] - grid).max(2) < STAYED_PX * FINE
        same &= (self.groups[after.face_ids] != MOUTH) | stayed
        return (same * shown * ~dirty * (sampled[..., 3] > 0.5)).astype(np.float32)


def _distance(mask: np.ndarray) -> np.ndarray:
    """How far [H, W] each pixel is from the mask, px."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)


def _areas(pixels: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Summed areas [V] of the triangles around each vertex that face the camera, px^2."""
    a, b, c = (pixels[faces[:, i], :2] for i in range(3))
    (ux, uy), (vx, vy) = (b - a).T, (c - a).T
    areas = np.maximum((uy * vx - ux * vy) / 2, 0)
    return sum(np.bincount(faces[:, i], areas, len(pixels)) for i in range(3))


def _sample(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bilinear samples [H, W, D] at pixels [H, W, 2], centres at .5; edges extend."""
    x, y = (np.float32(places[..., i] - 0.5) for i in (0, 1))
    parts = [picture[..., :4], picture[..., 4:]]
    return np.concatenate(
        [cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for part in parts], 2
    )


def _draw_near(painted: np.ndarray, seen: np.ndarray, share: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Colours of the mesh with their difference to the picture, spread from where both are known; each group on its own."""
    out = painted.copy()
    for kind in (SKIN, EYES, TEETH):  # the depth of the mouth is dark, whatever its rim is like
        here = group == kind
        weight = share * here
        if not weight.any():
            continue
        shift, known = blur_known(seen - painted, weight, MATCH_PX * FINE)
        out[here] += (shift * np.minimum(known / 0.02, 1)[..., None])[here]
    return out


def _shrink(rgba: np.ndarray) -> np.ndarray:
    """A fine picture [F H, F W, 4] at its size; colours are means by alpha."""
    height, width = (n // FINE for n in rgba.shape[:2])
    fine = rgba.reshape(height, FINE, width, FINE, 4)
    alpha = fine[..., 3:].mean((1, 3))
    rgb = (fine[..., :3] * fine[..., 3:]).mean((1, 3)) / np.maximum(alpha, 1e-6)
    return np.concatenate([np.where(alpha > 0, rgb, 0), alpha], 2).astype(np.float32)
