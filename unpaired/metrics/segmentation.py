"""Scores of label maps, and water masks by colour.

A confusion matrix counts pixels; rows are the true class, columns the predicted one. Matrices of several images add
up, so that scores are taken over a whole test set (the convention of Long, Shelhamer, Darrell, CVPR 2015, Sec. 5,
which the FCN scores of the CycleGAN paper follow).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unpaired.imaging.images import Images
from unpaired.metrics.paired import levels

Labels = Int[Tensor, "..."]
"""Class numbers from 0, of any shape."""
Confusion = Int[Tensor, "classes classes"]
Masks = Bool[Tensor, "b h w"]
Counts = Int[Tensor, "b"]


def confusion_matrix(predicted: Labels, truth: Labels, classes: int, ignore: int | None = None) -> Confusion:
    """Pixels of each true class (row) given each predicted class (column).

    Labels have one shape and are numbers from 0 to `classes` - 1. Pixels whose `truth` is `ignore` do not count.

    Raises:
        ValueError: shapes that differ, or a label outside the classes.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"expected labels of one shape, got {tuple(predicted.shape)} and {tuple(truth.shape)}")
    counted = torch.ones_like(truth, dtype=torch.bool) if ignore is None else truth != ignore
    rows, columns = truth[counted].long(), predicted[counted].long()
    for name, labels in (("truth", rows), ("predicted", columns)):
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            found = f"{int(labels.min())} to {int(labels.max())}"
            raise ValueError(f"{name}: expected labels from 0 to {classes - 1}, found {found}")
    return torch.bincount(rows * classes + columns, minlength=classes**2).view(classes, classes)


def pixel_accuracy(confusion: Confusion) -> float:
    """Share of all counted pixels that got their true class; nan without pixels."""
    return float(confusion.diagonal().sum() / confusion.sum())


def mean_class_accuracy(confusion: Confusion) -> float:
    """Mean over classes of the share of their pixels that were found; classes without pixels are left out."""
    return float((confusion.diagonal() / confusion.sum(1)).nanmean())


def mean_class_iou(confusion: Confusion) -> float:
    """Mean over classes of intersection over union; classes neither present nor predicted are left out."""
    right = confusion.diagonal()
    return float((right / (confusion.sum(0) + confusion.sum(1) - right)).nanmean())


def water_mask(images: Images, bluer_by: float, darkest: float = 0, brightest: float = 255) -> Masks:
    """True where blue exceeds the mean of red and green by `bluer_by` 8-bit levels or more.

    The mean of the three must lie between `darkest` and `brightest`. The bounds are the domain's own (`water` in the
    data set's manifest): maps differ in how blue their seas are, and the dark sea of a photo is none on a pale map.

    Raises:
        ValueError: not three channels.
    """
    if images.shape[1] != 3:
        raise ValueError(f"water_mask: expected 3 channels (red, green, blue), got {images.shape[1]}")
    shown = levels(images)
    brightness = shown.mean(1)
    inside = (darkest <= brightness) & (brightness <= brightest)
    return inside & (shown[:, 2] - shown[:, :2].mean(1) >= bluer_by)


def overlap(found: Masks, truth: Masks) -> tuple[Counts, Counts]:
    """Pixels in both masks and in either, per image; their sums over a test set give the pooled IoU.

    Pooled, since the IoU of one image without any water is 0 / 0.
    """
    return (found & truth).flatten(1).sum(1), (found | truth).flatten(1).sum(1)
