"""Training of the four stages of SignX-4 and of isolated recognition, on Accelerate.

`loop.py` is the loop, in numbered steps; `stages/` has one file for each stage: what it starts from, what it trains on, what
it measures. Everything else is one concern a file.
"""
