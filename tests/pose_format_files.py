"""Build pose-format objects with random points."""

import numpy as np


def make_pose(components, frames=5, people=1, fps=25.0, size=(640, 480)):
    """pose-format's own object: random points, all seen."""
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderDimensions

    header = PoseHeader(0.2, PoseHeaderDimensions(*size), components)
    rng = np.random.default_rng(0)
    data = rng.uniform(10, 400, (frames, people, header.total_points(), header.num_dims())).astype(np.float32)
    confidence = rng.uniform(0.1, 1, data.shape[:3]).astype(np.float32)
    return Pose(header, NumPyPoseBody(fps, data, confidence))


def standard_components(layout):
    from pose_format.utils.generic import get_standard_components_for_known_format

    return get_standard_components_for_known_format(layout)
