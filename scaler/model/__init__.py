"""Frozen nouns, errors and typed keys; imports nothing of ours."""
