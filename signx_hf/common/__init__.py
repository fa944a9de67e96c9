"""Shared helpers that know nothing of signing: atomic writes, messages, options, extras, locks, fingerprints."""
