"""Metrics of predicted label maps against the ground truth: functions over arrays, and `torchmetrics` classes.

Functions and ``update`` take `preds`, then `target`, as torchmetrics does; both are label maps, and pixels that
are void in `target` do not count. Each metric is a function of label maps, or of the counts that they give, and a
class that adds up those counts over batches and processes, and so gives exactly the function's result.
"""

from segmend.metrics.boundary import (
    BoundaryF,
    BoundaryIoU,
    RegionJ,
    TrimapIoU,
    boundary_f,
    boundary_iou,
    boundary_iou_counts,
    region_j,
    trimap_confusion,
    trimap_iou,
)
from segmend.metrics.components import Sparsity, sparsity
from segmend.metrics.confidence import calibration_error, confusion_by_threshold, reliability
from segmend.metrics.instances import InstanceIoU, instance_iou, instance_iou_counts
from segmend.metrics.overlap import (
    ConfusionMatrix,
    FMeasure,
    IoU,
    MeanAccuracy,
    MeanIoU,
    PixelAccuracy,
    ShareChanged,
    changes,
    class_accuracy,
    confusion_matrix,
    f_measure,
    image_scores,
    iou,
    mean_accuracy,
    mean_iou,
    merge_classes,
    pixel_accuracy,
    share_changed,
)
from segmend.metrics.superpixels import SuperpixelAccuracy, superpixel_counts

__all__ = [
    "BoundaryF",
    "BoundaryIoU",
    "ConfusionMatrix",
    "FMeasure",
    "InstanceIoU",
    "IoU",
    "MeanAccuracy",
    "MeanIoU",
    "PixelAccuracy",
    "RegionJ",
    "ShareChanged",
    "Sparsity",
    "SuperpixelAccuracy",
    "TrimapIoU",
    "boundary_f",
    "boundary_iou",
    "boundary_iou_counts",
    "calibration_error",
    "changes",
    "class_accuracy",
    "confusion_by_threshold",
    "confusion_matrix",
    "f_measure",
    "image_scores",
    "instance_iou",
    "instance_iou_counts",
    "iou",
    "mean_accuracy",
    "mean_iou",
    "merge_classes",
    "pixel_accuracy",
    "region_j",
    "reliability",
    "share_changed",
    "sparsity",
    "superpixel_counts",
    "trimap_confusion",
    "trimap_iou",
]


def __dir__() -> list[str]:
    return __all__
