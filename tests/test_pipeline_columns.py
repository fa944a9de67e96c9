"""Clips in a column of a dataset or table: every pipeline takes it as it takes a list, whatever its options."""

from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, Features, Value, Video
from make_model import make_frames, save_folder, write_video
from sign_pipelines import make_classifier
from torch.utils.data import Dataset as TorchDataset
from transformers import pipeline

from signx_hf import SignXError
from signx_hf.assets import model_place

LENGTHS = (21, 9, 30)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    base = tmp_path_factory.mktemp("clips")
    return [str(write_video(base / f"{n}.mkv", make_frames(frames, seed=n))) for n, frames in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return pipeline("sign-recognition", model=str(save_folder(tmp_path_factory.mktemp("model"))), device="cpu")


class OwnDataset(TorchDataset):
    """A dataset as a user writes it, which does not end by IndexError."""

    def __init__(self, clips):
        self.clips = clips

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        return self.clips[index % len(self.clips)]


def dataset_of(paths) -> Dataset:
    return Dataset.from_dict(
        {"video": list(paths), "id": list(range(len(paths)))},
        features=Features({"video": Video(decode=False), "id": Value("int64")}),
    )


COLUMNS = {
    "column": lambda paths: dataset_of(paths)["video"],
    "streamed column": lambda paths: dataset_of(paths).to_iterable_dataset()["video"],
    "column of text": lambda paths: Dataset.from_dict({"video": paths})["video"],
    "series": lambda paths: pd.Series(paths, index=[7, 5, 3][: len(paths)]),
    "array of pandas": lambda paths: pd.Series(paths).array,
    "index of pandas": lambda paths: pd.Index(paths),
    "array of objects": lambda paths: np.array(paths, dtype=object),
    "array of text": lambda paths: np.array(paths),
    "deque": deque,
    "values": lambda paths: dict(enumerate(paths)).values(),
    "torch dataset": OwnDataset,
    "map": lambda paths: map(str, paths),
}


def said(results):
    """What is exact in results of a clip alone and in company."""
    return [(result["glosses"], result["duration"]) for result in results]


@pytest.mark.parametrize("options", [{}, {"chunk_length_s": 30.0}, {"batch_size": 2}], ids=str)
@pytest.mark.parametrize("kind", COLUMNS)
def test_recognition(recognizer, paths, kind, options):
    expected = said(recognizer(list(paths), decoder="ctc", **options))
    results = recognizer(COLUMNS[kind](paths), decoder="ctc", **options)
    if kind not in ("streamed column", "torch dataset", "map"):
        assert isinstance(results, list)
    assert said(results) == expected


@pytest.mark.parametrize("kind", COLUMNS)
def test_isolated_signs_and_spotting(kind):
    clips = [{"hands": np.random.default_rng(n).normal(size=(9 + n, 7))} for n in range(2)]
    classifier = make_classifier({"hands": 7})
    if kind in ("deque", "values", "torch dataset", "map", "array of objects", "series"):
        make = {**COLUMNS, "map": lambda clips: map(dict, clips), "series": pd.Series}[kind]
        assert list(classifier(make(clips))) == [classifier(clip) for clip in clips]
    letters = [str(Path(model_place("asl-letters")).parent / "clips" / f"{letter}.npz") for letter in "AB"]
    if kind == "column":
        column = Dataset.from_dict({"poses": letters})["poses"]
        spotter = pipeline("sign-spotting", model=str(model_place("asl")), device="cpu")
        assert spotter(column) == [spotter(path) for path in letters]


def test_whole_tables_and_empty_columns_are_refused_in_words(recognizer, paths):
    dataset = dataset_of(paths)
    for table in (dataset, dataset.to_iterable_dataset(), pd.DataFrame({"video": paths, "id": range(3)})):
        for options in ({}, {"chunk_length_s": 30.0}):
            with pytest.raises(SignXError, match=r"`inputs` must be clips, got a \w+ with columns .*video"):
                recognizer(table, **options)
    for empty in ([], (), dataset.select([])["video"], pd.Series([], dtype=str), np.array([], dtype=object)):
        for options in ({}, {"chunk_length_s": 30.0}):
            with pytest.raises(SignXError, match="at least one clip"):
                recognizer(empty, **options)


def test_one_clip_is_still_one_clip(recognizer, paths):
    frames = make_frames(LENGTHS[0], seed=0)
    with open(paths[0], "rb") as file:
        for clip in (paths[0], frames, list(dataset_of(paths)["video"])[0], file):
            assert isinstance(recognizer(clip, decoder="ctc", source_fps=15.0), dict)
