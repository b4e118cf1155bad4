"""Who is in a picture: embeddings of a face, to compare by their cosine.

Open: dlib's ResNet (King 2017, public domain), whose weights come with the package face_recognition_models. Or any network
of ArcFace's input that the user has as ONNX: ArcFace itself, AuraFace, SFace. Cosines of different embedders do not compare:
strangers lie near 0 with ArcFace and near 0.8 with dlib, whose own criterion is a distance below 0.6.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from facecraft.alignment import fit_similarity
from facecraft.errors import DependencyError, InputError
from facecraft.image import to_bytes
from facecraft.records import digest_file

DLIB_FILE = "models/dlib_face_recognition_resnet_model_v1.dat"
DLIB_POINTS = (263, 362, 33, 133, 2)
"""MediaPipe's landmarks at dlib's five: outer and inner corner of the left and of the right eye, under the nose."""
DLIB_CHIP = (150, 0.25)  # side in px, and padding, of the pictures that it was trained on
ARCFACE_POINTS = (468, 473, 1, 61, 291)
"""MediaPipe's landmarks at ArcFace's five: right and left pupil, tip of the nose, right and left corner of the mouth."""
ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where they lie in a picture of 112x112 px (Deng et al. 2019, insightface's face_align)."""


@dataclass(frozen=True)
class Embedder:
    """`embed` makes a vector [D] of a picture [H, W, 3] in [0, 1] and landmarks [478, 3], px; `name` goes with every result."""

    name: str
    embed: Callable[[np.ndarray, np.ndarray], np.ndarray]


def load_embedder(choice: str = "dlib") -> Embedder:
    """The embedder called dlib, or that of an ONNX file. DependencyError or InputError when it cannot be had."""
    if choice == "dlib":
        return _load_dlib()
    if Path(choice).suffix.lower() != ".onnx":
        raise InputError(f"embedder {choice!r} is not known; use dlib or the path of an .onnx file such as AuraFace's")
    return _load_onnx(Path(choice))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two embeddings [D]."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _load_dlib() -> Embedder:
    package = find_spec("face_recognition_models")  # its import needs pkg_resources, its files do not
    if find_spec("dlib") is None or package is None:
        names = "dlib and face_recognition_models are"
        raise DependencyError(f"{names} not both installed, identity needs them; run `pip install 'facecraft[eval]'`")
    import dlib

    path = Path(package.submodule_search_locations[0]) / DLIB_FILE
    try:
        network = dlib.face_recognition_model_v1(str(path))
    except RuntimeError as error:
        raise DependencyError(f"{path} cannot be read ({error}); install face_recognition_models again") from error

    def embed(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        points = [dlib.point(*map(int, np.round(landmarks[i, :2]))) for i in DLIB_POINTS]
        left, top = landmarks[:, :2].min(0)
        right, bottom = landmarks[:, :2].max(0)
        box = dlib.rectangle(*map(int, (left, top, right, bottom)))
        chip = dlib.get_face_chip(to_bytes(rgb), dlib.full_object_detection(box, points), *DLIB_CHIP)
        return np.array(network.compute_face_descriptor(chip))

    return Embedder("dlib ResNet v1 on MediaPipe landmarks", embed)


def _load_onnx(path: Path) -> Embedder:
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file; check the path of the embedder")
    try:
        network = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise InputError(f"{path} is not an ONNX network that OpenCV can read ({error.err}); check the file") from error

    def embed(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        chip = arcface_chip(rgb, landmarks)
        network.setInput(cv2.dnn.blobFromImage(chip, 1 / 127.5, (112, 112), (127.5,) * 3))
        try:
            return network.forward().astype(np.float64).ravel()
        except cv2.error as error:
            raise InputError(
                f"{path} does not take a face of 112x112 px ({error.err}); give an ArcFace-like network"
            ) from error

    return Embedder(f"{path.name} ({digest_file(path)[:12]}) on MediaPipe landmarks", embed)


def arcface_chip(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The face [112, 112, 3] uint8 as ArcFace wants it: the similarity that brings five landmarks to its template."""
    scale, rotation, translation = fit_similarity(landmarks[list(ARCFACE_POINTS), :2], ARCFACE_TEMPLATE)
    matrix = np.vstack([np.column_stack([scale * rotation, translation]), [0, 0, 1]])
    # our pixel centres are at .5, OpenCV's at 0
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(shift) @ matrix @ shift
    return cv2.warpAffine(to_bytes(rgb), matrix[:2], (112, 112), flags=cv2.INTER_LINEAR)
