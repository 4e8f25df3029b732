"""What bounds the engine, so that nobody's flood takes what the others need."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one engine; the settings give them."""

    budget: float = 2.0  # seconds an RPC waits for a first decision
    workloads: int = 5000
    objects_per_namespace: int = 5000  # ScaledObjects and ScaledJobs
    formula_steps: int = 250_000  # a second, of the formulas of one namespace; about a quarter of a core
    forget_after: float = 7200.0  # seconds without a call
    evaluation_delay: float = 0.5  # seconds that sources are asked about the past, so that late samples are in
    direct: frozenset[str] = frozenset()  # endpoints that are read directly, which may be done every second
    patience: float = 5.0  # seconds after which a source that has not come back counts as failed
