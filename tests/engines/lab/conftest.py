"""The laboratory of tests/cluster, for scenarios whose pods are real engines."""

from cluster.conftest import cluster, lab, scaler, tmp_path

__all__ = ["cluster", "lab", "scaler", "tmp_path"]
