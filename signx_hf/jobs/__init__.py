"""Work on clips in parallel: tasks and workers (`base`), and the engines that run them (`local_engine`, `ray_engine`).

Pose extraction, recognition and evaluation each bring a small worker; `run.run_jobs` runs it. Importing this package
imports nothing heavy.
"""
