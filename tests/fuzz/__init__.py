"""Fuzzing that stays: what strangers may hand in, mutated along its structure."""
