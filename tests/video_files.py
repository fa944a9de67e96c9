"""Write videos without loss."""

from fractions import Fraction
from pathlib import Path

import av

RATE = 30


def write(path: Path, frames, rate: int = RATE, codec: str = "ffv1", times=None) -> Path:
    """A video; with ffv1 lossless. times: presentation times in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuvj420p"
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            if times is not None:
                picture.pts, picture.time_base = times[index], stream.time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path
