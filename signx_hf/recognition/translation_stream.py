"""Streaming translation: frames or poses in, one sentence per utterance when it ends.

An utterance ends when the hands rest. It is decoded then, from what was encoded while it went on, with the windows of
`translate --chunk-length`, so the sentence is the one that a file with the recording gives.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..processing.checks_signx import check_ctc
from ..processing.errors_signx import SignXError
from ..processing.sampling_signx import FrameSampler
from ..processing.utterances_signx import StretchJoiner, UtteranceReader
from ..processing.windowing_signx import PoseFrames, VideoFrames, WindowOptions, warn_of_receptive_field
from .streaming import SignXStreamer
from .tasks import TRANSLATION

if TYPE_CHECKING:
    from ..processing.translation_pipeline_signx import SignTranslationPipeline


@dataclass(frozen=True)
class StreamSentence:
    """A translated sentence.

    Attributes:
        text: in the spoken language.
        start, end: seconds of the utterance on the clock of the pushed timestamps.
        confidence: 0 to 1, as in a result.
    """

    text: str
    start: float
    end: float
    confidence: float


class SignXTranslationStreamer(SignXStreamer):
    """Translate a recording while it goes on; `push` and `flush` work as in `SignXStreamer`.

        streamer = SignXTranslationStreamer(translate, source="video")
        for frame, seconds in camera:
            for sentence in streamer.push(frame, seconds).final:
                print(sentence.text)
        update = streamer.flush()

    Each frame is encoded once. Memory does not grow with the length of the recording: signing without a rest for
    longer than `window` is cut, as in a file.

    Args:
        recognizer: a `sign-translation` pipeline.
        source: `"video"` (frames) or `"poses"` (rows).
        fps: frame rate of what is pushed without timestamps; None: that of the processor.
        windows: `WindowOptions`.
        call_options: of the pipeline, as for a call.

    Raises:
        SignXError: If the pipeline is of another task, or the model cannot read the source or has no CTC.
    """

    def __init__(
        self,
        recognizer: "SignTranslationPipeline",
        source: str = "video",
        fps: float | None = None,
        windows: WindowOptions | None = None,
        **call_options: Any,
    ):
        task = getattr(recognizer, "task", type(recognizer).__name__)
        if task != TRANSLATION:
            raise SignXError(
                f"`recognizer` must be a pipeline of {TRANSLATION}, got {task}. For glosses use SignXStreamer."
            )
        check_ctc(recognizer.model, "live translation")
        recognizer.check_options(**call_options)
        self._recognizer, self._call_options = recognizer, call_options
        model: Any = recognizer.model
        processor: Any = recognizer.processor
        part: Any = self._open(model, processor, source, fps)
        self._store = (VideoFrames if self.reads == "video" else PoseFrames)(model, part, self.fps)
        self._windows = WindowOptions() if windows is None else windows
        warn_of_receptive_field(model.config, self.fps, self._windows.right, "right")
        self._reader: Any = UtteranceReader(model, self._store, self.fps, self._windows)
        stride = model.config.recognizer_config.stride
        longest = max(2, round(self._windows.window * self.fps / stride))
        self._joiner = StretchJoiner(longest, stride, model.config.ctc_blank_id)
        self._restart(0.0)

    @property
    def latency_s(self) -> float:
        """Seconds from the rest of the hands to the sentence, without the time that the model takes."""
        return max(self._windows.rest, self._store.activity.shortest_rest)

    def _restart(self, origin: float) -> None:
        self._open_recording()
        self._sampler = FrameSampler(self.fps)
        self._origin, self._first_frame = origin, self._reader.frames
        self._newest, self._partial = None, []

    def _read(self, view: Any) -> list[Any]:
        """Return the `StreamSentence` of each utterance that ends with these steps (`Settled`)."""
        sentences = []
        for stretch in self._joiner.push(view):
            result: Any = self._recognizer.decode_stretch(stretch, self.fps, "stream", **self._call_options)
            start, end = self._seconds(stretch.frame), self._seconds(stretch.frame + stretch.frames)
            sentences += [StreamSentence(item.text, start, end, item.confidence) for item in result.sentences]
        return sentences
