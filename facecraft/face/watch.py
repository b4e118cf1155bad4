"""The face in a video: its 478 landmarks in every frame, by MediaPipe's tracking mode, with irises, brows and lids by networks of ours."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from facecraft.face.landmarks import Face, find_faces, place_landmarks, quiet_mediapipe
from facecraft.face.upper_face import settle_upper_face

REACH = 5.0  # side of the window that is watched, in sides of the face where it was first seen
SEARCHED = 40  # frames in which the face is looked for before the video is given up
STRIDE = 4


def find_window(frames: Iterable[np.ndarray]) -> tuple[Face, tuple[slice, slice]] | None:
    """The largest face of the first frame that has one, and rows and columns of the window around it; None without."""
    for number, frame in enumerate(frames):
        if number >= SEARCHED * STRIDE:
            break
        faces = find_faces(frame.astype(np.float32) / 255) if number % STRIDE == 0 else []
        if faces:
            face = max(faces, key=lambda face: face.height)
            half = REACH / 2 * float((face.box[2:] - face.box[:2]).max())
            columns, rows = (
                slice(max(0, int(centre - half)), min(size, int(centre + half) + 1))
                for centre, size in zip(face.centre, frame.shape[1::-1], strict=True)
            )
            return face, (rows, columns)
    return None


def watch_face(frames: Iterable[np.ndarray], window: tuple[slice, slice]) -> Iterator[np.ndarray | None]:
    """Landmarks [478, 3] px of one face in each frame [H, W, 3] uint8, as it moves; None where it is not seen."""
    rows, columns = window
    find, close = _open_tracker()
    try:
        for frame in frames:
            crop = np.ascontiguousarray(frame[rows, columns])
            found = find(crop)
            if found is None:
                yield None
                continue
            yield settle_upper_face(crop, place_landmarks(crop, found)) + [columns.start, rows.start, 0]
    finally:
        close()


def _open_tracker() -> tuple[Callable, Callable]:
    """A function from a picture to its landmarks or None, and one that ends it.

    Only what MediaPipe says while it starts is held back: progress is told on stderr during the work.
    """
    with quiet_mediapipe() as mp:
        mesh = mp.solutions.face_mesh.FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True)
        mesh.process(np.zeros((64, 64, 3), np.uint8))

    def find(picture: np.ndarray):
        faces = mesh.process(picture).multi_face_landmarks
        return faces[0].landmark if faces else None

    def close() -> None:
        with quiet_mediapipe():
            mesh.close()

    return find, close
