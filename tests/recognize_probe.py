"""`signx-hf recognize` in a process of its own that keeps a diary, for tests that kill it; and one that dies or hangs."""

import os
import time


class Observed:
    """A recogniser that writes down each clip it begins, and takes its time. diary: file to which paths are appended."""

    def __init__(self, recognizer, diary: str, pause: float = 0.0):
        self.recognizer, self.diary, self.pause = recognizer, diary, pause

    def __getattr__(self, name):
        return getattr(self.recognizer, name)

    def __call__(self, path, **options):
        with open(self.diary, "ab", buffering=0) as file:
            file.write(f"{path}\n".encode())
        time.sleep(self.pause)
        return self.recognizer(path, **options)


def child(arguments: list[str], diary: str, pause: float, errors: str) -> None:
    """Runs the command line with the real model."""
    import torch

    from signx_hf import cli
    from signx_hf.recognition import loading

    torch.set_num_threads(1)
    load = loading.load_pipeline
    loading.load_pipeline = lambda *given: Observed(load(*given), diary, pause)
    with open(errors, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os._exit(cli.main(arguments))


class Odd:
    """Answers, dies or hangs as it is told."""

    def __call__(self):
        return self.answer

    def answer(self, what):
        if what == "die":
            os._exit(7)
        time.sleep(600 if what == "hang" else 0)
        while what == "spin":
            pass
        return {"outcome": what}
