"""`explain` shows every weight with its role, and what the widespread target lists take and leave."""

import pytest
from lora_models import FUSED, deepseek, llama

from dslab.lora import explain, inject


def by_pattern(explanation):
    return {row.pattern: row for row in explanation.rows}


def test_roles_shapes_and_counts_of_a_deepseek():
    rows = by_pattern(explain(deepseek()))
    roles = {pattern.rpartition("layers.*.")[2]: (row.role, row.shape, row.count) for pattern, row in rows.items()}
    assert roles == {
        "model.embed_tokens": ("embedding", (61, 32), 1),
        "self_attn.q_a_proj": ("q_a", (16, 32), 3),
        "self_attn.q_b_proj": ("q_b", (64, 16), 3),
        "self_attn.kv_a_proj_with_mqa": ("kv_a", (20, 32), 3),
        "self_attn.kv_b_proj": ("kv_b", (64, 12), 3),
        "self_attn.o_proj": ("o", (32, 32), 3),
        "mlp.gate_proj": ("gate", (48, 32), 1),
        "mlp.up_proj": ("up", (48, 32), 1),
        "mlp.down_proj": ("down", (32, 48), 1),
        "mlp.experts.gate_up_proj": ("routed experts (fused): gate, up in one", (4, 32, 32), 2),
        "mlp.experts.down_proj": ("routed experts (fused): down", (4, 32, 16), 2),
        "mlp.gate": ("router", (4, 32), 2),
        "mlp.shared_experts.gate_proj": ("shared expert: gate", (16, 32), 2),
        "mlp.shared_experts.up_proj": ("shared expert: up", (16, 32), 2),
        "mlp.shared_experts.down_proj": ("shared expert: down", (32, 16), 2),
        "lm_head": ("head", (61, 32), 1),
    }


def test_all_parameters_but_the_norms_are_shown():
    model = llama()
    norms = sum(p.numel() for name, p in model.named_parameters() if "norm" in name)
    shown = sum(row.parameters for row in explain(model).rows)
    assert shown + norms == sum(p.numel() for p in model.parameters())


def test_the_usual_list_adapts_only_o_proj_of_a_deepseek():
    model = deepseek()
    usual = ["q_proj", "k_proj", "v_proj", "o_proj"]
    seen = explain(model, usual)
    assert seen.matched == tuple(f"model.layers.{i}.self_attn.o_proj" for i in range(3))
    assert seen.unmatched_entries == ("q_proj", "k_proj", "v_proj")
    assert "model.layers.0.self_attn.q_a_proj" in seen.missed
    assert "model.layers.1.mlp.experts.down_proj" in seen.missed
    assert not {"lm_head", "model.embed_tokens", "model.layers.1.mlp.gate"} & set(seen.missed)
    with pytest.raises(ValueError, match="'q_proj' matches nothing"):
        inject(model, usual)


def test_rows_say_which_entries_took_them_and_a_part_is_a_row_of_its_own():
    seen = explain(llama(), ["attention", r".*\.0\..*q_proj"])
    assert [(row.count, row.matched_by) for row in seen.rows if row.role == "q"] == [
        (1, ("attention", r".*\.0\..*q_proj")),
        (1, ("attention",)),
    ]
    fused = explain(deepseek(), FUSED)
    assert len(fused.matched) == 4
    assert by_pattern(fused)["model.layers.*.mlp.experts.down_proj"].matched_by == ("experts.down_proj",)


@pytest.mark.parametrize("make", [llama, deepseek])
def test_an_adapted_model_is_explained_as_it_was(make):
    model = make()
    targets = ["o_proj", *(FUSED if make is deepseek else [])]
    before = explain(model, targets)
    inject(model, targets, r=2)
    assert explain(model, targets) == before


def test_it_reads_as_a_table_and_escapes():
    seen = explain(llama(), ["q_proj", "<b>"])
    lines = str(seen).splitlines()
    assert lines[0].split() == ["weights", "role", "shape", "count", "parameters", "matched", "by"]
    assert lines[-1] == "2 weights matched, 12 missed; matching nothing: <b>"
    assert any(line.split()[:3] == ["model.layers.*.self_attn.q_proj", "q", "32"] for line in lines)
    shown = seen._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert "matched by" not in str(explain(llama()))
