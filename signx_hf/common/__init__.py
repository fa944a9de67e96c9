"""Helpers without knowledge of signing that all parts share: atomic writes, messages, options, extras, locks,
fingerprints.
"""
