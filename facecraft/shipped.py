"""Trained files that come with facecraft: safetensors with a header of ours."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from facecraft.errors import InputError


def read_shipped(path: Path, kind: str, framework: str = "np") -> tuple[dict, dict]:
    """Header and arrays (of torch when `framework` is "pt") by name. InputError when the file, a `kind`, is damaged."""
    try:
        with safe_open(path, framework) as file:
            header = json.loads((file.metadata() or {}).get("facecraft", "{}"))
            return header, {key: file.get_tensor(key) for key in file.keys()}
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read as {kind} ({error}); install facecraft again") from error
