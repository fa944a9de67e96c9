"""What stages 3 and 4 share: training on inputs, cached latents or cached features."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...processing.errors_signx import SignXError, SignXWarning
from ...processing.processing_signx import SignXProcessor
from ..augmentation import resample
from ..examples import Example, pad, read_examples
from ..feature_cache import FeatureCache, default_folder, weights_fingerprint
from ..frames import FrameStore, check_lengths, check_videos, evenly, video_inputs
from ..schedules import scheduled
from ..vocabulary import extend_model, extend_processor
from .base import ModelT, Stage

if TYPE_CHECKING:
    from datasets import Dataset


def unknown_glosses(rows: "Dataset", vocabulary: Sequence[str]) -> dict[str, list[str]]:
    """Return the glosses of sentences and segments that a vocabulary lacks, each with the ids of its clips."""
    known, clips = set(vocabulary), defaultdict(list)
    for row in rows.select_columns(["id", "glosses", "segments"]):
        named = dict.fromkeys([*row["glosses"], *(segment["gloss"] for segment in row["segments"])])
        for gloss in named:
            if gloss not in known:
                clips[gloss].append(row["id"])
    return dict(sorted(clips.items(), key=lambda item: -len(item[1])))


class RecognitionStage(Stage[ModelT]):
    """A stage that trains on `inputs` (everything is trained), `latents` (the latent path is frozen) or `features` (the recognizer,
    too), as option `start` says. What is frozen is run once for each clip and cached."""

    default_start = "latents"
    of_recognizer = ("ctc", "aux_ctc", "alignment")  # parts of the loss that need it to run
    of_rgb_branch = ("student_ctc", "teacher_ctc", "kd")  # that need the RGB branch
    feeds_rgb = False  # whether the RGB branch of the recognizer gets frames

    @property
    def start(self) -> str:
        """What is trained on: inputs, latents or features."""
        chosen = self.arguments.model.start
        if chosen is None and self.arguments.model.extend_vocabulary:
            chosen = "latents"  # features leave the recognizer without its new glosses
        if chosen is None:
            chosen = self.default_start if self.arguments.model.upstream else "inputs"
        return chosen

    def used_options(self) -> set[str]:
        used = super().used_options() | {"extend_vocabulary"}
        used |= set() if self.start == "features" else {"frame_drop", "frame_branch_weights"}
        used |= {"on_unknown"} if self.arguments.model.upstream else set()
        entry = {"poses": "track_dropout", "video": "vision_weights"}[self.arguments.model.source]
        return used | ({entry} if self.start == "inputs" else set())

    @property
    def trains_poses(self) -> bool:
        return self.start == "inputs"

    def computed_parts(self) -> list[str]:
        unused = self.of_recognizer if self.start == "features" else ()
        if self.model.recognizer.frame_encoder is None:
            unused = (*unused, *self.of_rgb_branch)
        return [part for part in self.loss_parts if part not in unused]

    def before_step(self, step: int, total: int) -> None:
        if self.arguments.run.frame_drop is not None:
            self.model.recognizer.compiler.frame_drop_rate = scheduled(*self.arguments.run.frame_drop, step, total)

    def setup(self) -> None:
        options = self.arguments.model
        if options.start is None and not options.upstream:
            self.upstream_folder(", or train everything with start: inputs")
        super().setup()
        if self.model.recognizer.frame_encoder is not None and self.start != "features":
            self._feed_rgb_branch()
        if self.start != "inputs":
            self._freeze()
            self._fill_cache()
        if self.extension is not None:  # after the cache, whose key holds the config of upstream
            extend_model(self.model, self.processor, self.extension)

    def make_processor(self, train: "Dataset") -> SignXProcessor:
        processor = super().make_processor(train)
        if self.arguments.model.extend_vocabulary:
            text = None if self.target == "glosses" else self._text_options() if self.text_is_new else {}
            vocab_size, knows_text = self.arguments.model.vocab_size, "text" in self.upstream_tasks
            self.extension = extend_processor(processor, train, vocab_size, text, knows_text)
        return processor

    def check_vocabulary(self, train: "Dataset", dev: "Dataset") -> None:
        """Name all glosses that the CTC vocabulary of upstream lacks, before a clip is read.

        Raises:
            SignXError: If the training clips have such glosses, and on_unknown is error.
        """
        vocabulary = self.processor.tokenizer.ctc_glosses
        if not self.arguments.model.upstream:  # the vocabulary is that of the training clips
            return
        if self.extension is not None and self.extension.glosses and self.start == "features":
            raise SignXError(
                f"`start` must be latents or inputs to add {len(self.extension.glosses)} glosses, because the recognizer learns nothing from its own "
                "features, got features. Remove it, or add the glosses in stage 3 first."
            )
        whose = "upstream's" if self.extension is None else "the extended"
        for split, rows in (("train", train), ("dev", dev)):
            unknown = unknown_glosses(rows, vocabulary)
            if not unknown:
                continue
            clips = len({clip for named in unknown.values() for clip in named})
            said = (
                f"{clips} of {len(rows)} clips ({split}) have glosses that {whose} vocabulary of {len(vocabulary)} lacks: "
                f"{', '.join(f'{gloss} in {len(named)} (first: {named[0]})' for gloss, named in unknown.items())}"
            )
            if split == "dev":
                warnings.warn(f"{said}. They count as errors.", SignXWarning, stacklevel=2)
            elif self.arguments.data.on_unknown == "error":
                raise SignXError(
                    f"{said}. Correct their spelling, leave these clips out, leave these glosses out of the labels with on_unknown: drop, or learn "
                    "them with extend_vocabulary: true."
                )
            else:
                warnings.warn(f"{said}. They are left out of the labels.", SignXWarning, stacklevel=2)

    def labeled(self, examples: list[Example]) -> list[Example]:
        """Return the training clips without the glosses, and without the clips, that have no label in upstream's vocabulary."""
        if not self.arguments.model.upstream:
            return examples
        known = set(self.processor.tokenizer.ctc_glosses)
        for example in examples:
            example.glosses = [gloss for gloss in example.glosses if gloss in known]
            example.segments = [segment for segment in example.segments if segment["gloss"] in known]
        left = [example for example in examples if example.glosses or (self.target != "glosses" and example.text)]
        if not left:
            raise SignXError("No training clip has a gloss that upstream's vocabulary has. Train without upstream.")
        return left

    def read(self, rows: "Dataset") -> list[Example]:
        if self.arguments.model.source == "poses":
            return super().read(rows)
        examples = read_examples(rows, self.processor, with_poses=False)
        check_videos(examples)
        self._read_frames(examples)
        for example in examples:
            example.length, example.fps = (
                len(example.arrays["frames"]),
                self.processor.video_processor.fps or example.fps,
            )
        return examples

    def _read_frames(self, examples: Sequence[Example]) -> None:
        folder = self.arguments.model.cache_dir
        store = FrameStore((Path(folder) if folder else default_folder()) / "frames", self.processor.video_processor)
        store.fill(examples, "decoding" if self.arguments.run.progress else "")

    def _feed_rgb_branch(self) -> None:
        """Read frames for the RGB branch, the teacher of stage 3. Without videos the branch is removed: its untrained weights
        would be mixed into the latents of every video that the saved model is given."""
        examples = [*self.train_examples, *self.dev_examples]
        if self.arguments.model.source == "poses":
            if not any(example.video for example in examples):
                recognizer = self.model.recognizer
                recognizer.frame_encoder = self.model.config.frame_branch = None
                del recognizer.frame_projection, recognizer.mixer
                warnings.warn(
                    "No clip has a video: training without the RGB branch of the config.",
                    SignXWarning,
                    stacklevel=2,
                )
                return
            check_videos(examples)
            self._read_frames(examples)
            check_lengths(examples, "pose rows")
        self.feeds_rgb = True

    def _freeze(self) -> None:
        if not self.arguments.model.upstream:
            raise SignXError(
                f"`start` must be inputs without a trained latent path, got {self.start!r}. Pass upstream, or set start: inputs."
            )
        self.model.freeze_latent_path()
        if self.start == "features":
            self.model.recognizer.requires_grad_(False)

    def _fill_cache(self) -> None:
        parts = [self.model.model] + ([self.model.recognizer] if self.start == "features" else [])
        settings = (self.model.config.to_dict(), self.processor.to_dict(), self.start, self.arguments.model.source)
        settings[0].pop("transformers_version", None)
        folder = self.arguments.model.cache_dir
        cache = FeatureCache(
            Path(folder) if folder else default_folder(),
            weights_fingerprint(parts, *settings),
            self.arguments.model.source,
        )
        show = f"caching {self.start}" if self.arguments.run.progress else ""
        cache.fill([*self.train_examples, *self.dev_examples], self._compute, show)
        for example in [*self.train_examples, *self.dev_examples]:
            example.length = len(example.arrays[self.start])

    @torch.inference_mode()
    def _compute(self, example: Example) -> dict[str, np.ndarray]:
        self.model.eval()
        batch = {name: torch.from_numpy(value) for name, value in self.inputs_from_source([example], None).items()}
        if self.start == "latents":
            return {"latents": self.model.model(**batch).last_hidden_state[0].float().numpy()}
        return {"features": self.model.get_features(**batch).features[0].float().numpy()}

    def inputs_from_source(
        self, examples: Sequence[Example], randoms: Sequence[np.random.Generator] | None
    ) -> dict[str, np.ndarray]:
        """Return the poses or the video frames of a batch."""
        if self.arguments.model.source == "poses":
            return self.pose_inputs(examples, randoms)
        return video_inputs(examples, self.processor.video_processor, self.arguments.augmentation, randoms)

    def inputs(self, examples: Sequence[Example], randoms: Sequence[np.random.Generator] | None) -> dict[str, Any]:
        if self.start == "inputs":
            return self._with_frames(self.inputs_from_source(examples, randoms), examples, randoms)
        values = [example.arrays[self.start] for example in examples]
        if randoms is not None and self.arguments.augmentation.speed and self.start == "latents":
            values = [self._at_speed(value, random) for value, random in zip(values, randoms)]
        mask = pad([np.ones(len(value), dtype=bool) for value in values], False)
        batch = {self.start: pad(values), ("frame_mask" if self.start == "latents" else "feature_mask"): mask}
        return self._with_frames(batch, examples, randoms)

    def _with_frames(
        self, batch: dict[str, Any], examples: Sequence[Example], randoms: Sequence[np.random.Generator] | None
    ) -> dict[str, Any]:
        """Return the batch with video frames, as many as each clip has latents or poses, where the RGB branch is trained."""
        if not self.feeds_rgb or "pixel_values_videos" in batch:
            return batch
        lengths = batch["frame_mask"].sum(1)
        windows = [evenly(len(example.arrays["frames"]), int(length)) for example, length in zip(examples, lengths)]
        frames = video_inputs(examples, self.processor.video_processor, self.arguments.augmentation, randoms, windows)[
            "pixel_values_videos"
        ]
        return {**batch, "pixel_values_videos": frames}

    def _at_speed(self, values: np.ndarray, random: np.random.Generator) -> np.ndarray:
        rate = 1 + self.arguments.augmentation.speed * random.uniform(-1, 1)
        return resample(values, np.ones((len(values), 1), dtype=bool), rate)[0]

    def uses_alignment(self) -> bool:
        """Return True if the loss has an alignment part, which needs `gloss_alignment`."""
        return bool(self.model.config.recognizer_config.alignment_weight) and self.start != "features"
