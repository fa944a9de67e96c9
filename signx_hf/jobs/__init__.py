"""Parallel work on clips: tasks and workers, and the two engines that run them.

Pose extraction, recognition and evaluation each bring a small worker; `run.run_jobs` runs it. Importing this package
imports nothing heavy.
"""
