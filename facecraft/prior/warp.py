"""The open video prior: a picture of a head warped through its mesh from one expression to another.

What both expressions show is taken from the picture, lit as it lies now. What only the new one shows (the inside of the
mouth, lids, eyeballs) is the textured head, its colours drawn to those of the picture along the seam.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from facecraft.camera import Camera
from facecraft.head.fitted import FittedHead
from facecraft.head.interior import paint_interior
from facecraft.head.surface import SKIN_REGIONS
from facecraft.head.texture import render_textured
from facecraft.mesh.atlas import make_atlas
from facecraft.mesh.light import shade, shading_normals
from facecraft.mesh.raster import MeshBuffers, rasterize_mesh
from facecraft.prior.lids import draw_lashes, unfold_lids
from facecraft.views import View

FINE = 2  # samples of a pixel in each direction
NEAR_M = 3e-3  # what lies further behind the surface is hidden by it
SHRUNK = (0.2, 0.55)  # area in the picture over the new one at which a triangle shows too little, enough
LID_SHRUNK = (0.5, 0.9)  # likewise of lids, which lashes cross
LID_REACH_M = 0.021  # skin this close to the middle of an eyeball is lid
RIM_PX = 1.5  # skin this close to eyes and mouth has their colours in it
LIP_LINE_M = 2e-3  # lips this close touch
SEAM_PX, MATCH_PX = 1.5, 8.0  # softness of seams, and how far colours are drawn to the picture's
STAYED_PX = 1.0
EDGE_PX = 1.5  # a picture's soft edge is this wide
ALONG_PX = 12.0  # how far beside the mesh the picture moves with it
SKIN, EYES, TEETH, MOUTH = range(4)
HIDDEN = ("mouth_socket", "gums", "tongue", "teeth_lower")
LIP_SHADE_M, LIP_TONE = 4e-3, 0.4  # how far lips shade teeth that are painted, and their tone beside the lips
_PARTS = {"eye_socket": SKIN, "eyeball": EYES, "teeth_upper": TEETH}  # all else inside is MOUTH


def clean_mouth(fitted: FittedHead) -> FittedHead:
    """The head with the model's colours inside of the mouth, but for the upper teeth: a smile that the mesh does not meet
    exactly leaves teeth on the tongue, which show when the mouth opens."""
    head, texture = fitted.head, fitted.texture
    atlas = make_atlas(head.uvs.numpy(), head.faces_uv.numpy(), len(texture.albedo))
    regions = head.face_regions.numpy()[atlas.faces]
    hidden = head.faces_of(HIDDEN).numpy()[atlas.faces]
    seen = texture.seen[atlas.rows, atlas.columns] * ~hidden
    colours = paint_interior(head, atlas, regions, texture.albedo[atlas.rows, atlas.columns], seen)
    albedo = texture.albedo.copy()
    albedo[atlas.rows[hidden], atlas.columns[hidden]] = colours[hidden].clip(0, 1)
    return replace(fitted, texture=replace(texture, albedo=albedo))


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
        """Which faces [F] are skin around an eye."""
        head, template = self.fitted.head, self.fitted.head.template.double().numpy()
        regions = head.vertex_regions.numpy()
        middles = [template[regions == head.region_names.index(f"eyeball_{side}")].mean(0) for side in "LR"]
        near = np.min([np.linalg.norm(template - middle, axis=1) for middle in middles], 0) < LID_REACH_M
        return near[head.faces.numpy()].all(1) & (self.groups == SKIN)

    @cached_property
    def px_per_m(self) -> float:
        """Of the face in the finer picture."""
        depth = self.camera.project(self.vertices[self.fitted.head.faces.numpy()[self.lids].ravel()])[:, 2].mean()
        return self.camera.fx / depth

    @cached_property
    def before(self) -> MeshBuffers:
        return self._rasterize(self.vertices)

    @cached_property
    def picture(self) -> np.ndarray:
        """[H, W, 7]: rgb, alpha, distances of the pixel to the mesh and to eyes and mouth, fine px, and its shading."""
        view, size = self.view, (self.camera.width, self.camera.height)
        rgba = np.concatenate([view.rgb, view.alpha[..., None]], 2).astype(np.float32)
        rgba = cv2.resize(rgba, size, interpolation=cv2.INTER_LINEAR)
        return np.dstack(
            [rgba, _distance(self.before.mask), self._rim(self.before), self._shading(self.vertices, self.before)]
        )

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
        skin = after.mask & (self.groups[after.face_ids] == SKIN)
        sampled[..., :3] *= np.where(skin, self._shading(vertices, after) / sampled[..., 6], 1)[..., None]
        share = self._share(vertices, after, places, sampled)
        painted = render_textured(self.fitted.head, vertices, self.fitted.texture, self.camera, 1)[0]
        group = np.where(after.mask, self.groups[after.face_ids], -1)
        painted = _draw_near(painted, sampled[..., :3], share, group)
        painted = self._shade_teeth(painted, after)
        painted = self._unfold_lids(painted, sampled[..., :3], share, after)
        share = cv2.GaussianBlur(cv2.erode(share, np.ones((3, 3))), (0, 0), SEAM_PX * FINE / 2)[..., None]
        inside = np.concatenate([share * sampled[..., :3] + (1 - share) * painted, np.ones_like(share)], 2)
        inside[..., 3:] = share * sampled[..., 3:4] + 1 - share
        inside[..., :3] *= self._lashes(vertices)[..., None]
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

    def _shade_teeth(self, painted, after: MeshBuffers) -> np.ndarray:
        """`painted` [H, W, 3] with teeth that are darker the nearer the lips are, which keep the light from them."""
        teeth = after.mask & (self.groups[after.face_ids] == TEETH)
        if not teeth.any():
            return painted
        lips = after.mask & (self.groups[after.face_ids] == SKIN)
        light = LIP_TONE + (1 - LIP_TONE) * (_distance(lips) / (LIP_SHADE_M * self.px_per_m)).clip(0, 1)
        return np.where(teeth[..., None], painted * light[..., None], painted)

    def _unfold_lids(self, painted, seen, share, after: MeshBuffers) -> np.ndarray:
        """`painted` [H, W, 3] with lids that the picture does not show as smooth as the skin around them."""
        lid = after.mask & self.lids[after.face_ids]
        skin = np.where(after.mask & (self.groups[after.face_ids] == SKIN), share, 0)
        return unfold_lids(painted, seen, skin, lid, self.px_per_m)

    def _lashes(self, vertices: np.ndarray) -> np.ndarray:
        """Factors [H, W] that darken the line along which lids meet."""
        head = self.fitted.head
        corners = vertices[head.faces[head.landmark_faces].numpy()]
        points = np.einsum("lkd,lk->ld", corners, head.landmark_barycentrics.double().numpy())
        size = (self.camera.height, self.camera.width)
        return draw_lashes(points, self.camera.project(points)[:, :2], size, self.px_per_m, 0.5 * FINE)

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

    def _share(self, vertices, after: MeshBuffers, places: np.ndarray, sampled: np.ndarray) -> np.ndarray:
        """How far [H, W] the picture shows what is seen now."""
        x, y = (places[..., i].astype(int).clip(0, n - 1) for i, n in ((0, self.camera.width), (1, self.camera.height)))
        there = self.before.face_ids[y, x]
        same = (self.groups[there] == self.groups[after.face_ids]) & (there >= 0) & after.mask
        same &= places[..., 2] < self.before.depth[y, x] + NEAR_M
        faces = self.fitted.head.faces.numpy()
        areas = [_areas(self.camera.project(v), faces) for v in (self.vertices, vertices)]
        ratio = (areas[0] / np.maximum(areas[1], 1e-3))[after.face_ids]
        low, high = (np.where(self.lids, *pair)[after.face_ids] for pair in zip(LID_SHRUNK, SHRUNK, strict=True))
        shown = np.clip((ratio - low) / (high - low), 0, 1)
        skin = self.groups[after.face_ids] == SKIN
        dirty = skin & (sampled[..., 5] < RIM_PX * FINE) & (self._rim(after) > 2 * RIM_PX * FINE)
        # the mesh does not know which teeth a smile shows: what lies in the mouth is taken only from where it is
        grid = np.stack(np.meshgrid(np.arange(self.camera.width), np.arange(self.camera.height)), 2) + 0.5
        stayed = np.abs(places[..., :2] - grid).max(2) < STAYED_PX * FINE
        same &= (self.groups[after.face_ids] != MOUTH) | stayed
        return (same * shown * ~dirty * (sampled[..., 3] > 0.5)).astype(np.float32)


def _distance(mask: np.ndarray) -> np.ndarray:
    """How far [H, W] each pixel is from the mask, px."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)


def _areas(pixels: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Areas [F] of triangles that face the camera, px^2; 0 for the others."""
    a, b, c = (pixels[faces[:, i], :2] for i in range(3))
    (ux, uy), (vx, vy) = (b - a).T, (c - a).T
    return np.maximum((uy * vx - ux * vy) / 2, 0)


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
        spread = cv2.GaussianBlur(np.dstack([(seen - painted) * weight[..., None], weight]), (0, 0), MATCH_PX * FINE)
        shift = spread[..., :3] / np.maximum(spread[..., 3:], 0.02)
        out[here] += shift[here]
    return out


def _shrink(rgba: np.ndarray) -> np.ndarray:
    """A fine picture [F H, F W, 4] at its size; colours are means by alpha."""
    height, width = (n // FINE for n in rgba.shape[:2])
    fine = rgba.reshape(height, FINE, width, FINE, 4)
    alpha = fine[..., 3:].mean((1, 3))
    rgb = (fine[..., :3] * fine[..., 3:]).mean((1, 3)) / np.maximum(alpha, 1e-6)
    return np.concatenate([np.where(alpha > 0, rgb, 0), alpha], 2).astype(np.float32)
