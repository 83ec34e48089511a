"""The interface that Hugging Face Spaces expect, beside that of `unpaired serve` (extra `gradio`).

    python -m unpaired.serve.gradio_app runs/earth sketches=other.safetensors --device cuda

On a Space, an `app.py` of two lines does: `from unpaired.serve.gradio_app import build`, then
`build(["bundle.safetensors"]).queue(max_size=32).launch()`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

import gradio as gr  # pyright: ignore[reportMissingImports]  # asks for an older Pillow than the tests
from PIL import Image

from unpaired.config import DIRECTIONS, Scale
from unpaired.core.errors import BadInput
from unpaired.inference import Translator
from unpaired.serve.names import named_models

MAX_FILE = "32mb"
MAX_PIXELS = 16_777_216
SIZES: list[tuple[str, Scale]] = [("as the image", "own"), ("as in training", "train")]


def build(models: Sequence[str], device: str = "auto") -> gr.Blocks:
    """The app: an image, a model, a direction and a size in, the translation out.

    Models are runs' folders or bundles, each as PATH or NAME=PATH; `BadInput` if one is not.
    """
    translators = {name: Translator.load(path, device=device) for name, path in named_models(models).items()}
    first = next(iter(translators))

    def translate(image: Image.Image | None, model: str, direction: str, scale: str = "own") -> Image.Image:
        """One image; whatever is wrong with it is told in a line."""
        if image is None:
            raise gr.Error("Choose an image first.")
        if image.width * image.height > MAX_PIXELS:
            raise gr.Error(f"{image.width}x{image.height} is over the limit of {MAX_PIXELS} pixels.")
        try:
            translator = translators[model].at("train" if scale == "train" else "own")
            translation = translator.to("BtoA" if direction == "BtoA" else "AtoB")(image)
        except BadInput as error:
            raise gr.Error(str(error)) from error
        assert isinstance(translation, Image.Image)
        return translation

    with gr.Blocks(title="unpaired", analytics_enabled=False) as app:
        gr.Markdown("# Translate images")
        with gr.Row():
            model = gr.Dropdown(list(translators), value=first, label="Model")
            direction = gr.Radio(list(DIRECTIONS), value=translators[first].direction, label="Direction")
            scale = gr.Dropdown(SIZES, value="own", label="Size of the result")
        with gr.Row():
            before = gr.Image(type="pil", image_mode=None, label="Image", sources=["upload", "webcam", "clipboard"])
            after = gr.Image(type="pil", format="png", label="Translation")
        gr.Button("Translate", variant="primary").click(
            translate, [before, model, direction, scale], after, api_name="translate", concurrency_limit=1
        )
    return app


def main() -> None:
    """Serve the app on this machine, or where GRADIO_SERVER_NAME says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="a run's folder or bundle, as PATH or NAME=PATH")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    args = parser.parse_args()
    try:
        app = build(args.models, args.device)
    except BadInput as error:
        sys.exit(f"unpaired: {error}")
    app.queue(max_size=32).launch(max_file_size=MAX_FILE, share=False)


if __name__ == "__main__":
    main()
