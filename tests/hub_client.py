"""A process in which a user gives one `signx-hf` command after the other, with the real client and a Hub of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

CHILD = f"""
import contextlib, io, json, os, sys, time
sys.path.insert(0, {str(ROOT)!r})
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.02))  # the client's pauses between its attempts
from huggingface_hub import constants
from signx_hf.cli import main
from signx_hf.hub import client
client.TIMEOUT_SECONDS = 5.0
answers = sys.stdout
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    job = json.loads(line)
    os.environ["HF_TOKEN"], constants.ENDPOINT = job["token"], job["endpoint"]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(job["words"])
        except SystemExit as stop:
            code = stop.code
    answers.write(json.dumps([code, out.getvalue(), err.getvalue()]) + chr(10))
    answers.flush()
"""


class Client:
    """`client("push", ...)` -> exit code, standard output, lines of standard error."""

    def __init__(self, environment: dict[str, str], cwd: Path):
        cwd.mkdir(parents=True, exist_ok=True)
        self.token, self.endpoint = environment["HF_TOKEN"], environment["HF_ENDPOINT"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD], cwd=cwd, env={**os.environ, "PYTHONWARNINGS": "ignore", **environment}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip

    def send(self, *words, token: str | None = None, endpoint: str | None = None) -> None:
        """Gives the command, with another token or to another Hub, and does not wait for it."""
        job = {"words": [str(word) for word in words], "token": self.token if token is None else token}
        self.process.stdin.write(json.dumps({**job, "endpoint": endpoint or self.endpoint}) + "\n")
        self.process.stdin.flush()

    def __call__(self, *words, **more) -> tuple[int, str, list[str]]:
        self.send(*words, **more)
        code, out, err = json.loads(self.process.stdout.readline())
        return code, out, err.splitlines()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
