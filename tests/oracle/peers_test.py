"""The peers that the other oracle tests compare against are the versions that docs and tolerances were written for."""

import torch
import transformers


def test_versions_are_the_pinned_ones():
    assert torch.__version__.split("+")[0] == "2.11.0"
    assert transformers.__version__ == "5.23.0"


def test_torch_computes_in_float64():
    matrix = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    assert (matrix @ matrix.T).tolist() == [[5.0, 14.0], [14.0, 50.0]]
