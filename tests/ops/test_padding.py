"""Padding to a multiple of a stride, and back."""

import torch

from segmend.ops.padding import cropped, pad_to_stride


def test_padding_repeats_the_last_row_and_column():
    map_ = torch.rand(1, 2, 5, 6)
    padded = pad_to_stride(map_, 4)
    assert padded.shape == (1, 2, 8, 8)
    assert torch.equal(padded[:, :, 7, :6], map_[:, :, 4])
    assert torch.equal(pad_to_stride(padded, 4), padded)
    assert torch.equal(cropped(padded, 5, 6), map_)


def test_the_operation_of_exports_pads_alike():
    map_ = torch.rand(1, 2, 5, 6)
    assert torch.equal(torch.ops.segmend.pad_to_stride(map_, 4), pad_to_stride(map_, 4))
