"""Reviewing refined or suggested label maps: regions of difference, decisions on them, and what they make."""

from segmend.review.decisions import Decision, combine, confirmed
from segmend.review.display import Shown, shown
from segmend.review.regions import Change, Region, Regions, change_weight, mean_of_regions, regions_of

__all__ = [
    "Change",
    "Decision",
    "Region",
    "Regions",
    "Shown",
    "change_weight",
    "combine",
    "confirmed",
    "mean_of_regions",
    "regions_of",
    "shown",
]
