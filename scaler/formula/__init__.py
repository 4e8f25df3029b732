"""The formula language: expr-lang as KEDA evaluates it, for formulas over numbers."""

from scaler.formula.program import Program, TraceStep, parse

__all__ = ["Program", "TraceStep", "parse"]
