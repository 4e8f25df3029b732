"""What one replica costs in time and money: a GPU, a model and a number type, as one row of gpus.yaml.

One step of continuous batching takes

    overhead + (weights^4 + (token x m)^4)^(1/4) + SEQUENCE x sequences + kv x read + prefill x attention      seconds

for m tokens (prefill tokens of this step and one for each decoding sequence), `read` tokens of KV cache read by the
decoding sequences, and `attention` the sum over prefilling sequences of tokens x (context + half of the tokens). The
fourth powers pass smoothly from the floor (reading all weights once) to the slope (computing each token).
"""

import functools
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from scaler.model.errors import ConfigError, nearest
from scaler.model.fields import Fields, number, text, whole

SEQUENCE = 8e-6  # seconds a step for each sequence in the batch: sampling and bookkeeping


@dataclass(frozen=True, slots=True)
class Hardware:
    """The coefficients of one row, in seconds and tokens."""

    name: str
    title: str
    gpus: int  # per replica
    price: float  # USD per GPU-hour
    overhead: float  # s per step: launch, sampling, host
    weights: float  # s per step: reading the weights once
    token: float  # s per token computed
    kv: float  # s per token of KV cache read
    prefill: float  # s per token squared of prefill attention
    kv_tokens: int  # tokens the KV cache holds
    error: float  # mean relative error of the fit

    def floor(self, tokens: int, sequences: int) -> float:
        """Return the seconds of a step without its attention: `tokens` computed for `sequences` in the batch."""
        computed: float = (self.weights**4 + (self.token * tokens) ** 4) ** 0.25
        return self.overhead + computed + SEQUENCE * sequences

    @property
    def price_per_second(self) -> float:
        """USD that one replica costs per second."""
        return self.gpus * self.price / 3600


def hardware(name: str) -> Hardware:
    """Return the row of that name.

    Raises:
        ConfigError: no such row; names the nearest one.
    """
    rows = _rows()
    if name not in rows:
        raise ConfigError("simulation", "hardware", f"{name!r} is not known{nearest(name, rows)}", ", ".join(rows))
    return rows[name]


@functools.cache
def _rows() -> dict[str, Hardware]:
    written = resources.files("scaler.sim").joinpath("gpus.yaml").read_text("utf-8")
    return {name: _row(name, tree) for name, tree in yaml.safe_load(written).items()}


def _row(name: str, tree: Any) -> Hardware:
    fields = Fields("gpus.yaml", tree, name)
    small = number(0.0, 1e6, above=True)
    row = Hardware(
        name=name,
        title=fields.take("title", text),
        gpus=fields.take("gpus", whole(1, 64)),
        price=fields.take("price", number(0.0, 1e4)),
        overhead=fields.take("overhead", small) * 1e-3,
        weights=fields.take("weights", small) * 1e-3,
        token=fields.take("token", small) * 1e-6,
        kv=fields.take("kv", small) * 1e-9,
        prefill=fields.take("prefill", small) * 1e-12,
        kv_tokens=fields.take("kv_tokens", whole(1, 10**9)),
        error=fields.take("error", number(0.0, 1.0)),
    )
    fields.close()
    return row
