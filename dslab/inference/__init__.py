"""KV-cache inference from a dict to an engine: the caches serving systems are made of, a model that reads them.

    engine = Engine(lm)                                  # a transformers model of the Llama family
    engine.generate(prompt_ids, max_new_tokens=64)       # the new tokens
    lm.generate(ids, past_key_values=as_transformers(QuantizedCache(bits=8)))

Names are imported on first use, so that one of them costs only its own file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslab.lazy import lazy

if TYPE_CHECKING:
    from dslab.inference.absorption import absorb as absorb
    from dslab.inference.absorption import unabsorb as unabsorb
    from dslab.inference.accounting import NAMED as NAMED
    from dslab.inference.accounting import kv_bytes_per_token as kv_bytes_per_token
    from dslab.inference.adapter import as_transformers as as_transformers
    from dslab.inference.base import Cache as Cache
    from dslab.inference.base import CacheError as CacheError
    from dslab.inference.base import CacheFull as CacheFull
    from dslab.inference.base import CacheMismatch as CacheMismatch
    from dslab.inference.blocks import BlockPool as BlockPool
    from dslab.inference.cache import ContiguousCache as ContiguousCache
    from dslab.inference.cache import DictCache as DictCache
    from dslab.inference.compiled import CompiledLlama as CompiledLlama
    from dslab.inference.decoding import generate as generate
    from dslab.inference.decoding import stream as stream
    from dslab.inference.engine import Engine as Engine
    from dslab.inference.latent import LatentCache as LatentCache
    from dslab.inference.llama import Llama as Llama
    from dslab.inference.packing import packed as packed
    from dslab.inference.paged import PagedCache as PagedCache
    from dslab.inference.paged_batch import PagedBatch as PagedBatch
    from dslab.inference.quantized import QuantizedCache as QuantizedCache
    from dslab.inference.rope import Rope as Rope
    from dslab.inference.sampling import Sampler as Sampler
    from dslab.inference.sampling import Sampling as Sampling
    from dslab.inference.scheduler import Request as Request
    from dslab.inference.scheduler import Scheduler as Scheduler
    from dslab.inference.sliding import SinkCache as SinkCache
    from dslab.inference.speculation import SpeculativeResult as SpeculativeResult
    from dslab.inference.speculation import speculative as speculative

__getattr__, __dir__, __all__ = lazy(__name__, __file__)
