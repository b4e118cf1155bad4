"""Measures of pictures, faces and videos, each by its published definition; what needs absent weights says how to get them."""

from facecraft.records import package_versions

OPTIONAL = ("dlib", "dlib-bin", "face_recognition_models", "lpips", "transformers", "cvvdp", "pyfvvdp")


def optional_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages without which some metrics are not measured."""
    return package_versions(OPTIONAL)
