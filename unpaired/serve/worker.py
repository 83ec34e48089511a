"""The process that decodes, translates and encodes: what happens to it happens to no connection.

Started by the server with its settings as JSON; tasks come in on stdin, answers leave on what was stdout.
A task is an image's bytes with a model, a direction and a format; several come together and are answered one by one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unpaired.core.errors import BadInput
from unpaired.imaging.codecs import suffix_of
from unpaired.imaging.images import DecodedImage, encode_image, read_image
from unpaired.inference import Translator
from unpaired.serve.wire import packed, read

JOINED_PIXELS = 512 * 512
"""Larger images fill the processor alone: joining them gains nothing and costs memory."""
WARM_UP = (64, 96)
"""Height and width of the image that each model must translate before the server is ready."""
MEDIA_TYPES = {
    **{".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"},
    **{".tif": "image/tiff", ".bmp": "image/bmp"},
}
Models = Mapping[str, Mapping[str, Translator]]
"""By name, then by direction."""


@dataclass(frozen=True)
class Task:
    """One image to translate, decoded."""

    id: int
    translator: Translator
    decoded: DecodedImage
    suffix: str

    @property
    def kind(self) -> tuple[int, int, int]:
        """Equal for tasks that may go through the network together."""
        height, width = self.decoded.pixels.shape[:2]
        return id(self.translator), height, width


@dataclass
class Joiner:
    """Sends images of one size through the network together, where that changes no bit.

    A convolution may add in another order for another batch size, which moves a value by 1e-7 and now and then a
    pixel by a level. The order depends on sizes alone, so the first batch of each size is also translated one by one:
    only if all bits agree are batches of that size used.
    """

    exact: bool
    same_bits: dict[tuple[object, ...], bool] = field(default_factory=dict)

    def translate(self, tasks: list[Task]) -> list[DecodedImage]:
        """The translations of tasks of one kind, in order."""
        translator, decoded_images = tasks[0].translator, [task.decoded for task in tasks]
        _, height, width = tasks[0].kind
        size = (tasks[0].kind, len(tasks))
        if len(tasks) == 1 or height * width > JOINED_PIXELS or self.same_bits.get(size) is False:
            return [translator.translate_decoded(decoded) for decoded in decoded_images]
        arrays = [translator.prepare(decoded) for decoded in decoded_images]
        images = list(translator.runtime(np.stack(arrays)))
        if self.exact and size not in self.same_bits:
            alone = [translator.runtime(array[None])[0] for array in arrays]
            self._learn(size, all(map(np.array_equal, images, alone)))
            images = alone
        return [translator.finish(decoded, image) for decoded, image in zip(decoded_images, images, strict=True)]

    def _learn(self, size: tuple[object, ...], same: bool) -> None:
        if len(self.same_bits) >= 1000:  # sizes are the clients' to choose
            self.same_bits.clear()
        self.same_bits[size] = same


def load_models(paths: Mapping[str, str], device: str = "auto") -> Models:
    """Every direction of every model, each having translated an image.

    Raises:
        BadInput: not a model, or one whose translation is not finite or not of the right shape.
    """
    models: dict[str, dict[str, Translator]] = {}
    for name, path in paths.items():
        first = Translator.load(Path(path), device=device)
        models[name] = {direction: first.to(direction) for direction in first.directions}
        for translator in models[name].values():
            warm_up(translator, f"{name} ({path})")
            print(f"{name}: {translator.describe()}", file=sys.stderr, flush=True)
    return models


def warm_up(translator: Translator, name: str) -> None:
    """Translate a slope of colours and judge the outcome.

    Raises:
        BadInput: it is not finite, or not of the shape that the model's channels ask for.
    """
    height, width = WARM_UP
    slope = np.linspace(-1, 1, height * width, dtype=np.float32).reshape(1, 1, height, width)
    image = translator.runtime(np.repeat(slope, translator.channels_in, axis=1))
    expected = (1, translator.channels_out, height, width)
    if image.shape != expected or not np.isfinite(image).all():
        found = f"shape {image.shape}" if image.shape != expected else "values that are not finite"
        raise BadInput(f"{name}, {translator.direction}: expected finite values of shape {expected}, found {found}")


def answers(models: Models, joiner: Joiner, max_pixels: int, head: dict[str, Any], body: bytes) -> Iterator[bytes]:
    """The answer to each task of a message, as soon as it is known."""
    tasks, start = [], 0
    for task in head["tasks"]:
        data, start = body[start : start + task["size"]], start + task["size"]
        try:
            tasks.append(_decoded(models, task, data, max_pixels))
        except Exception as error:
            yield _refusal(task["id"], error)
    while tasks:
        group = [task for task in tasks if task.kind == tasks[0].kind]
        tasks = [task for task in tasks if task.kind != group[0].kind]
        begun = time.perf_counter()
        try:
            decoded_images = joiner.translate(group)
        except Exception as error:
            yield from (_refusal(task.id, error) for task in group)
            continue
        seconds = (time.perf_counter() - begun) / len(group)
        for task, decoded in zip(group, decoded_images, strict=True):
            yield _encoded(task, decoded, seconds)


def _decoded(models: Models, task: dict[str, Any], data: bytes, max_pixels: int) -> Task:
    directions = models[task["model"]]
    direction = task["direction"] or next(iter(directions))
    if direction not in directions:
        raise BadInput(f"direction: {task['model']} translates {', '.join(directions)}, not {direction}")
    decoded = read_image(data, max_pixels)
    directions[direction].prepare(decoded)  # refuses alone, not with its whole group
    return Task(task["id"], directions[direction], decoded, task["suffix"] or suffix_of(data))


def _encoded(task: Task, decoded: DecodedImage, seconds: float) -> bytes:
    try:
        body = encode_image(decoded, task.suffix)
    except Exception as error:
        return _refusal(task.id, error)
    about = {"id": task.id, "status": 200, "type": MEDIA_TYPES[task.suffix], "seconds": seconds}
    return packed(about, body)


def _refusal(number: int, error: Exception) -> bytes:
    """422 for what the image is to blame for; anything else is a fault of ours, told in full on stderr."""
    if isinstance(error, BadInput):
        return packed({"id": number, "status": 422, "detail": str(error)})
    if isinstance(error, MemoryError) or "allocate" in str(error) or "out of memory" in str(error):
        return packed({"id": number, "status": 422, "detail": "this image needs more memory than there is"})
    traceback.print_exception(error)
    return packed({"id": number, "status": 500, "detail": "the translation failed; the server's log tells more"})


def serve_tasks(settings: dict[str, Any], tasks: BinaryIO, out: BinaryIO) -> None:
    """Load, warm up, say what is there, then answer until the server has gone."""

    def send(message: bytes) -> None:
        out.write(message)
        out.flush()

    try:
        models = load_models(settings["models"], settings.get("device", "auto"))
    except (BadInput, OSError) as error:
        return send(packed({"unusable": str(error)}))
    send(packed({"models": {name: _about(directions) for name, directions in models.items()}}))
    joiner = Joiner(settings["exact"])
    while message := read(tasks):
        for answer in answers(models, joiner, settings["max_pixels"], *message):
            send(answer)
        send(packed({"done": True}))


def _about(directions: Mapping[str, Translator]) -> dict[str, Any]:
    return {
        key: {"channels_in": each.channels_in, "channels_out": each.channels_out} for key, each in directions.items()
    }


def main() -> None:
    """Answer tasks from stdin; what anything prints goes to stderr, apart from the answers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server decides: it closes stdin
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        serve_tasks(json.loads(sys.argv[1]), sys.stdin.buffer, out)
    except BrokenPipeError:
        pass


if __name__ == "__main__":
    main()
