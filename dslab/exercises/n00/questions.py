"""The five questions of notebook 00. Each belongs to the notebook that answers it in full."""

from __future__ import annotations

from dslab.exercises.question import Question

questions = (
    Question(
        ask="Queries have the shape (B, H, L, D), and so have the keys. What is the shape of the scores?",
        options=("(B, H, L, D)", "(B, H, L, L)", "(B, H, D, D)"),
        right=1,
        because="Every query meets every key, and the product sums over D.",
        advice="Read the notation table of this notebook again and do the warm-up below; then go to 01.",
    ),
    Question(
        ask="A score is multiplied by 0 before the softmax. How much weight does its key get?",
        options=("none", "as much as a key whose score was 0 anyway", "it depends on the value vector"),
        right=1,
        because="exp(0) is 1, not 0. Only a score of minus infinity gives no weight.",
        advice="Start with 01, sparse attention: it opens with this mistake.",
    ),
    Question(
        ask="A gradient of 1e-8 is stored in fp16. What is it then?",
        options=("0", "1e-8, a little rounded", "infinity"),
        right=0,
        because="The smallest number above zero in fp16 is about 6e-8. In bf16 it would survive.",
        advice="Start with 02, mixed precision.",
    ),
    Question(
        ask="A 576 x 576 matrix gets a LoRA adapter of rank 8. How many numbers are trained?",
        options=("331,776", "4,608", "9,216"),
        right=2,
        because="Two thin matrices, 576 x 8 and 8 x 576.",
        advice="Start with 04, LoRA.",
    ),
    Question(
        ask="A model has written 999 tokens and keeps a key-value cache. For token 1,000, whose keys must it compute?",
        options=("those of all 999 tokens", "only those of the newest token", "nobody's"),
        right=1,
        because="The keys of the past do not change, so they are kept. Only the newest token's are missing.",
        advice="Start with 05, the key-value cache.",
    ),
)

all_right = "Start with 01, sparse attention, and skip what you know. 06 is where the parts come together."
