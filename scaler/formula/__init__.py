"""The formula language: expr-lang as KEDA evaluates it, for formulas over numbers."""

from scaler.formula.program import Program, Step, parse

__all__ = ["Program", "Step", "parse"]
