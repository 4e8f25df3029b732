"""llm-scaler: a KEDA external scaler for LLM inference and GPU jobs."""

__version__ = "0.1.0"
