"""What each kind of number keeps of a matrix, that all ways of multiplying agree, and what int4's grid is worth."""

import pytest
import torch
from llama_models import logits, tiny, tokens

from dslab.inference import weights
from dslab.inference.llama import Llama
from dslab.inference.weights import BFloat16, Float32, Int4, Int8, weight_of

ROWS = (1, 2, 5, 6, 16, 31, 32, 255, 256)  # on both sides of each change of product


def matrix(rows=96, columns=64, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def apart(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize(("kind", "bar"), [("fp32", 0), ("bf16", 0.003), ("int8", 0.01), ("int4", 0.1)])
def test_what_is_kept(kind, bar):
    assert apart(weight_of(matrix(), kind).dense(), matrix()) <= bar


@pytest.mark.parametrize("bias", [None, matrix(1, 96, seed=3)[0] * 5])
@pytest.mark.parametrize(("kind", "bar"), [("fp32", 1e-6), ("bf16", 0.005), ("int8", 0.005), ("int4", 0.005)])
def test_all_products_agree_with_the_dense_one(kind, bar, bias):
    made = weight_of(matrix(), kind, bias)
    for rows in ROWS:
        x = matrix(rows, 64, seed=rows)
        x[:, 3] *= 100  # a few numbers of a row are large in real models
        expected = x @ made.dense().T + (0 if bias is None else bias)
        assert apart(made(x).float(), expected) <= bar, rows


def test_one_row_does_not_depend_on_its_neighbours():
    made, x = Int8(matrix()), matrix(20, 64, seed=5)
    alone = made(x)[:7]
    x[7:] *= 1000
    assert torch.equal(made(x)[:7], alone)


def test_products_of_bytes_keep_sixteen_bits(monkeypatch):
    made, x = Int8(matrix()), matrix(16, 64, seed=5)
    x[:, 3] *= 100
    assert apart(made._by_bytes(x), x @ made.dense().T) < 1e-4
    monkeypatch.setattr(torch.Tensor, "round_", lambda self: self.zero_())  # the second byte left out
    assert apart(made._by_bytes(x), x @ made.dense().T) > 3e-3


def test_without_instructions_for_bytes(monkeypatch):
    monkeypatch.setattr(weights, "_multiplies_bytes", lambda: False)
    made = Int8(matrix())
    monkeypatch.setattr(Int8, "_by_bytes", None)
    for rows in ROWS:
        x = matrix(rows, 64, seed=rows)
        assert apart(made(x).float(), x @ made.dense().T) < 0.005


def test_a_matrix_on_the_grid_stays_on_it():
    step, low = matrix(96, 2, seed=1).abs() + 0.1, matrix(96, 2, seed=2)
    codes = torch.randint(0, 16, (96, 2, 32), generator=torch.Generator().manual_seed(3))
    codes[..., 0], codes[..., 1] = 0, 15
    on_grid = (low[..., None] + step[..., None] * codes).flatten(1)
    assert apart(Int4(on_grid).dense(), on_grid) < 0.004  # the rounding of step and offset to bf16
    gains = matrix(1, 64, seed=4).exp()
    assert apart(Int4(on_grid * gains).dense() / gains, on_grid) > 0.03


def test_unpacked_codes_are_those_the_kernel_reads(monkeypatch):
    made = Int4(matrix(128))
    read = made.dense()
    monkeypatch.setattr(weights, "_knows_packing", lambda: False)
    assert apart(read, made.dense()) < 0.004  # the kernel gives bf16


def test_rows_of_zeros_and_constants():
    flat = torch.cat([torch.zeros(32, 64), torch.full((32, 64), -3.0), matrix(32)])
    for kind in ("int8", "int4"):
        made = weight_of(flat, kind)
        assert torch.isfinite(made.dense()).all()
        assert apart(made.dense()[:64], flat[:64]) < 0.01
        for rows in (1, 8):
            assert torch.equal(made(torch.zeros(rows, 64)).float(), torch.zeros(rows, 96))


def test_bytes():
    w = matrix(960, 576)
    assert Float32(w).nbytes() == 960 * 576 * 4
    assert BFloat16(w).nbytes() == 960 * 576 * 2
    assert Int8(w).nbytes() == 960 * 576 + 960 * 2
    assert Int4(w).nbytes() == 960 * 576 // 2 + 960 * 18 * 4


def test_refused():
    with pytest.raises(ValueError, match="one of fp32, bf16, int8, int4; got 'fp4'"):
        weight_of(matrix(), "fp4")
    with pytest.raises(ValueError, match="groups of 32; got 40: use int8"):
        weight_of(matrix(64, 40), "int4")


@pytest.mark.parametrize(("kind", "bar"), [("bf16", 0.02), ("int8", 0.05), ("int4", 0.35)])
def test_in_a_model(kind, bar):
    model, ids = tiny("qwen2"), tokens(2, 40)
    assert apart(Llama(model, kind).forward(ids, logits="all"), logits(model, ids)) < bar
