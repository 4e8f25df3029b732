"""The laboratory of tests/laboratory, for scenarios whose pods are real engines."""

from laboratory.conftest import cluster, lab, scaler, tmp_path

__all__ = ["cluster", "lab", "scaler", "tmp_path"]
