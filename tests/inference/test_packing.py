"""Packed weights mean the same numbers, with one row and with many."""

import gc
import weakref

import torch
from tiny_llamas import prompt, tiny_lm

from dslab.inference.llama import Llama
from dslab.inference.packing import packed
from dslab.inference.weights import Float32


def test_logits_are_the_same_for_any_number_of_rows():
    for settings in ({}, {"layers": 3}):
        llama = Llama(tiny_lm(**settings))
        made = packed(llama)
        for length in (1, 2, 17, 70):
            ids = torch.tensor([prompt(length, length)])
            a, b = (model.forward(ids, logits="all") for model in (llama, made))
            assert (a - b).abs().max() <= 1e-4 * a.abs().max()


def test_biases_are_added():
    lm = tiny_lm()
    llama = packed(Llama(lm))
    layer = llama.layers[0].qkv
    layer.plain.bias = layer.bias = torch.arange(float(len(layer.dense())))
    x = torch.randn(5, layer.dense().shape[1], generator=torch.Generator().manual_seed(0))
    for rows in (1, 5):
        expected = x[:rows] @ layer.dense().T + layer.bias
        assert torch.allclose(layer(x[:rows]), expected, atol=1e-4)


def test_the_model_given_stays_plain_and_other_weights_are_left_alone():
    llama = Llama(tiny_lm())
    assert packed(llama) is not llama
    assert type(llama.layers[0].qkv) is type(llama.head) is Float32
    assert packed(packed(llama)).nbytes() == llama.nbytes()
    assert packed(llama) is packed(llama)
    int8 = Llama(tiny_lm(), weights="int8")
    assert type(packed(int8).layers[0].qkv) is type(int8.layers[0].qkv)


def test_the_copy_goes_with_the_model():
    llama = Llama(tiny_lm())
    gone = weakref.ref(packed(llama))
    del llama
    gc.collect()
    assert gone() is None
