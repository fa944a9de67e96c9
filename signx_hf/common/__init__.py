"""What every room uses and nothing of signing: atomic writes, messages, options, extras, locks, fingerprints."""
