"""CLIP-I: cosine of two pictures as CLIP (Radford et al. 2021) embeds them."""

from importlib.util import find_spec

import numpy as np
import torch
from PIL import Image

from facecraft.errors import DependencyError
from facecraft.image import to_bytes
from facecraft.metrics.networks import CLIP

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class ClipVision:
    """The image tower of a CLIP in the Hugging Face cache, or in a folder. DependencyError tells how to get it."""

    def __init__(self, device: torch.device, model: str = CLIP):
        if find_spec("transformers") is None:
            raise DependencyError("transformers is not installed, CLIP-I needs it; run `pip install 'facecraft[eval]'`")
        from transformers import CLIPVisionModelWithProjection

        try:
            network = CLIPVisionModelWithProjection.from_pretrained(model, local_files_only=True, use_safetensors=True)
        except OSError as error:
            raise DependencyError(
                f"{model} (MIT) is not in the Hugging Face cache; run `hf download {model}`"
            ) from error
        self.name, self.device, self.network = model, device, network.to(device).eval()
        self.size = network.config.image_size

    @torch.inference_mode()
    def embed(self, rgb: np.ndarray) -> np.ndarray:
        """The embedding [D] of a picture [H, W, 3] in [0, 1]."""
        plane = torch.from_numpy(prepare(rgb, self.size)).permute(2, 0, 1)[None].to(self.device)
        return self.network(pixel_values=plane).image_embeds[0].float().cpu().numpy()


def prepare(rgb: np.ndarray, size: int) -> np.ndarray:
    """A picture [H, W, 3] in [0, 1] as CLIP's processor makes it [size, size, 3]: shorter side to `size`, middle, scaled."""
    height, width = rgb.shape[:2]
    scale = size / min(height, width)
    image = Image.fromarray(to_bytes(rgb)).resize(
        (max(size, int(width * scale)), max(size, int(height * scale))), Image.Resampling.BICUBIC
    )
    left, top = (image.width - size) // 2, (image.height - size) // 2
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32) / 255
    return ((pixels - _MEAN) / _STD).astype(np.float32)
