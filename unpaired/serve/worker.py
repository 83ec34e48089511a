"""The process that decodes, translates and encodes: what happens to it happens to no connection.

Started by the server with its settings as JSON; tasks come in on stdin, answers leave on what was stdout.
A task is an image's bytes with a model, a direction and a format; several come together and are answered one by one.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unpaired.core.device import free_bytes, pick_device
from unpaired.core.errors import BadInput, shown
from unpaired.imaging.images import DecodedImage, encode_image, read_image
from unpaired.imaging.kinds import suffix_of
from unpaired.inference import Translator
from unpaired.serve.cost import Served, TooLarge, bound_memory
from unpaired.serve.limits import MEDIA_TYPES, OTHER
from unpaired.serve.wire import packed, read

JOINED_PIXELS = 512 * 512
"""Larger images fill the processor alone: joining them gains nothing and costs memory."""
WARM_UP = (64, 96)
"""Height and width of the image that each model must translate before the server is ready."""
Models = Mapping[str, Mapping[str, Served]]
"""By name, then by direction."""


@dataclass(frozen=True)
class Task:
    """One image to translate, decoded."""

    id: int
    served: Served
    decoded: DecodedImage
    suffix: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the translation."""
        return self.served.translator.size_of(*self.decoded.pixels.shape[:2])

    @property
    def kind(self) -> tuple[int, int, int]:
        """Equal for tasks that may go through the network together: of one padded size."""
        return id(self.served), *self.served.translator.padded_size(*self.size)

    @property
    def large(self) -> bool:
        """Whether it is translated alone."""
        return max(math.prod(self.size), math.prod(self.decoded.pixels.shape[:2])) > JOINED_PIXELS


@dataclass
class Joiner:
    """Sends images of one padded size through the network together, where that changes no bit.

    A convolution may add in another order for another batch size, which moves a value by 1e-7. The order depends on
    sizes alone, so the first batch of each size is also translated one by one; batches are used if all bits agree.
    """

    exact: bool
    same_bits: dict[tuple[object, ...], bool] = field(default_factory=dict)

    def translate(self, tasks: list[Task]) -> list[DecodedImage]:
        """The translations of tasks of one kind, in order."""
        served, decoded_images = tasks[0].served, [task.decoded for task in tasks]
        translator, size = served.translator, (tasks[0].kind, len(tasks))
        if len(tasks) == 1 or tasks[0].large or self.same_bits.get(size) is False:
            return [served.translate(decoded) for decoded in decoded_images]
        arrays = [translator.prepare(decoded) for decoded in decoded_images]
        images = translator.submit(arrays)()
        if self.exact and size not in self.same_bits:
            alone = [translator.submit([array])()[0] for array in arrays]
            if len(self.same_bits) >= 1000:  # sizes are the clients' to choose
                self.same_bits.clear()
            self.same_bits[size] = all(map(np.array_equal, images, alone))
            images = alone
        return [translator.finish(decoded, image) for decoded, image in zip(decoded_images, images, strict=True)]


def load_models(paths: Mapping[str, str], device: str, memory: float, seconds: float, max_pixels: int) -> Models:
    """Every direction of every model, each having translated an image; bytes and seconds bound a translation.

    `max_pixels` is the limit of a request.

    Raises:
        BadInput: not a model, or one whose translation is not finite or not of the right shape.
    """
    models: dict[str, dict[str, Served]] = {}
    for name, path in paths.items():
        first = Translator.load(Path(path), device=device)
        translators = [first.to(direction) for direction in first.directions]
        for translator in translators:
            warm_up(translator, f"{name} ({path})")
        served = Served(first, memory, seconds)
        served.measure()
        models[name] = {each.direction: replace(served, translator=each) for each in translators}
        for each in models[name].values():
            print(f"{name}: {each.translator.describe()}; {each.describe(max_pixels)}", file=sys.stderr, flush=True)
    return models


def warm_up(translator: Translator, name: str) -> None:
    """Translate a slope of colours; `BadInput` unless the result is finite and of the model's channels."""
    height, width = WARM_UP
    slope = np.linspace(-1, 1, height * width, dtype=np.float32).reshape(1, 1, height, width)
    image = translator.runtime(np.repeat(slope, translator.channels_in, axis=1))
    expected = (1, translator.channels_out, height, width)
    if image.shape != expected or not np.isfinite(image).all():
        found = f"shape {image.shape}" if image.shape != expected else "values that are not finite"
        raise BadInput(f"{name}, {translator.direction}: expected finite values of shape {expected}, found {found}")


def answers(models: Models, joiner: Joiner, max_pixels: int, head: dict[str, Any], body: bytes) -> Iterator[bytes]:
    """The answer to each task of a message, as soon as it is known; of large images one at a time is in memory."""
    tasks, start = [], 0
    for about in head["tasks"]:
        data, start = body[start : start + about["size"]], start + about["size"]
        try:
            task = _decoded(models, about, data, max_pixels)
        except Exception as error:
            yield _refusal(about["id"], error)
            continue
        if task.large:
            yield from _translated(joiner, [task])
        else:
            tasks.append(task)
        del task
    while tasks:
        alike = [task for task in tasks if task.kind == tasks[0].kind]
        group = alike[: alike[0].served.together(alike[0].size)]
        done = {task.id for task in group}
        tasks = [task for task in tasks if task.id not in done]
        yield from _translated(joiner, group)


def _translated(joiner: Joiner, group: list[Task]) -> Iterator[bytes]:
    began = time.perf_counter()
    try:
        decoded_images = joiner.translate(group)
    except Exception as error:
        yield from (_refusal(task.id, error) for task in group)
        return
    seconds = (time.perf_counter() - began) / len(group)
    group[0].served.saw(group[0].size, seconds)
    for task, decoded in zip(group, decoded_images, strict=True):
        try:
            content = encode_image(decoded, task.suffix)
        except Exception as error:
            yield _refusal(task.id, error)
            continue
        about = {"id": task.id, "status": 200, "type": MEDIA_TYPES.get(task.suffix, OTHER), "seconds": seconds}
        about["detail"] = shown("; ".join(decoded.about.dropped(task.suffix)).encode("ascii", "replace").decode())
        yield packed(about, content)


def _decoded(models: Models, task: dict[str, Any], data: bytes, max_pixels: int) -> Task:
    directions = models[task["model"]]
    direction = task["direction"] or next(iter(directions))
    if direction not in directions:
        raise BadInput(f"direction: {task['model']} translates {', '.join(directions)}, not {direction}")
    served = directions[direction].at(task["scale"])
    found = Task(task["id"], served, read_image(data, max_pixels), task["suffix"] or suffix_of(data))
    if found.decoded.pages > 1:
        raise BadInput(f"holds {found.decoded.pages} pages or frames; send single images, or use `unpaired translate`")
    served.tile_for(found.size)  # refuses before any work
    if not found.large:
        served.translator.prepare(found.decoded)  # refuses alone, not with its whole group
    return found


def _refusal(number: int, error: Exception) -> bytes:
    """413 and 422 for what the image is to blame for; anything else is a fault of ours, in full on stderr."""
    status, detail = 500, "the translation failed; the server's log tells more"
    if isinstance(error, BadInput):
        status, detail = 413 if isinstance(error, TooLarge) else 422, str(error)
    elif isinstance(error, MemoryError) or "allocate" in str(error) or "out of memory" in str(error):
        status, detail = 422, "this image needs more memory than there is"
    else:
        traceback.print_exception(error)
    return packed({"id": number, "status": status, "detail": detail})


def serve_tasks(settings: dict[str, Any], tasks: BinaryIO, out: BinaryIO) -> None:
    """Load, warm up, say what is there, then answer until the server has gone."""

    def send(message: bytes) -> None:
        out.write(message)
        out.flush()

    try:
        free = [free_bytes()]
        with suppress(BadInput):  # ONNX Runtime may have a card where torch has none
            free.append(free_bytes(pick_device(settings["device"])))
        memory = settings["memory"] or min(free) // 2
        bounds = settings["timeout"], settings["max_pixels"]
        models = load_models(settings["models"], settings["device"], memory, *bounds)
        if all(each.translator.device.type == "cpu" for directions in models.values() for each in directions.values()):
            bound_memory(memory + settings["held"])
    except (BadInput, OSError) as error:
        return send(packed({"unusable": str(error)}))
    send(packed({"models": {name: _about(each, settings["max_pixels"]) for name, each in models.items()}}))
    joiner = Joiner(settings["exact"])
    while message := read(tasks):
        for answer in answers(models, joiner, settings["max_pixels"], *message):
            send(answer)
        send(packed({"done": True}))


def _about(directions: Mapping[str, Served], max_pixels: int) -> dict[str, Any]:
    about = {}
    for key, each in directions.items():
        channels = {"channels_in": each.translator.channels_in, "channels_out": each.translator.channels_out}
        about[key] = channels | {"max_pixels": min(max_pixels, each.max_pixels)}
    domains = next(iter(directions.values())).translator.domains
    return {"directions": about, "domains": dict(zip("AB", domains, strict=True))}


def main() -> None:
    """Answer tasks from stdin; what anything prints goes to stderr, apart from the answers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server decides: it closes stdin
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with suppress(BrokenPipeError):
        serve_tasks(json.loads(sys.argv[1]), sys.stdin.buffer, out)


if __name__ == "__main__":
    main()
