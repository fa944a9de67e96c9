"""SignSynth's pictures and tracks against markers, planes and the package's own skin."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("mannequin", reason="SignSynth draws with the extra synth")
pytest.importorskip("pyvista", reason="SignSynth draws with the extra synth")

from signx_hf.data.signsynth import appearance, keypoints, skeleton, tracks  # noqa: E402
from signx_hf.data.signsynth.clip import framing, pictures, render_clip  # noqa: E402
from signx_hf.data.signsynth.mesh import PART, PARTS, mesh  # noqa: E402
from signx_hf.data.signsynth.motion_types import GlossSpan, Motion, Signer  # noqa: E402
from signx_hf.data.signsynth.render import ClipPainter, Renderer  # noqa: E402
from signx_hf.data.signsynth.skeleton import INDEX, JOINTS  # noqa: E402

SIZE = 112
SHAPE = (0.8, -0.6, 0.4, *(0.0,) * 7)
SIGNER = Signer("s1", SHAPE, False, 11)


def signing(frames=10, seed=0):
    """Rows [T, 165]: both arms bent, the right hand before the chest, the left one to the side, everything moving."""
    generator = np.random.default_rng(seed)
    rows = np.zeros((frames, JOINTS, 3), dtype=np.float32)
    time = np.linspace(0, 1, frames)
    rows[:, INDEX["L_Shoulder"]] = 0.1, 0.0, -0.9
    rows[:, INDEX["R_Shoulder"]] = 0.0, 0.3, 1.1
    rows[:, INDEX["L_Elbow"], 1] = -0.7 + 0.3 * time
    rows[:, INDEX["R_Elbow"], 1] = 2.0 - 0.3 * time
    rows[:, INDEX["Head"], 1] = 0.2 * time
    rows[:, INDEX["R_Index1"] :] = generator.normal(0, 0.05, (JOINTS - INDEX["R_Index1"], 3))
    return rows.reshape(frames, skeleton.WIDTH)


@pytest.fixture(scope="module")
def renderer():
    renderer = Renderer(SIZE)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def stage(renderer):
    """A clip without blur and noise: (mesh, rows, transforms, shot, look, pictures)."""
    body, rows, look = mesh(SHAPE), signing(), appearance.signer_look(SIGNER)
    transforms = body.transforms(rows)
    drawn = appearance.clip_shot(np.random.default_rng(5), framing(body, keypoints.anchors(body, transforms)))
    shot = appearance.Shot(drawn.camera, drawn.lights, drawn.ambient, 1.0, 3, 0.0, 0.0, 0.0, 20)
    painter = ClipPainter(renderer, body, look, shot, np.random.default_rng(0))
    return SimpleNamespace(
        body=body,
        rows=rows,
        transforms=transforms,
        shot=shot,
        look=look,
        painter=painter,
        pictures=list(pictures(painter, rows, transforms)),
    )


def markers(points, size=0.012):
    """One small octahedron at each point, as something that `Renderer.visible` draws, and its vertices."""
    corners = size * np.concatenate([np.eye(3), -np.eye(3)])
    faces = np.array([(0, 1, 2), (1, 3, 2), (3, 4, 2), (4, 0, 2), (1, 0, 5), (3, 1, 5), (4, 3, 5), (0, 4, 5)])
    vertices = (points[:, None] + corners).reshape(-1, 3)
    each = 6 * np.arange(len(points))[:, None, None]
    return SimpleNamespace(vertices=vertices, faces=(faces + each).reshape(-1, 3)), vertices


def test_key_points_lie_on_rendered_markers(renderer, stage):
    body, shot, frame = stage.body, stage.shot, 4
    rows = stage.rows[frame : frame + 1]
    # the joints as the contract has them, not as the mesh moves
    joints = skeleton.joint_transforms(rows, SHAPE)[0, :, :3, 3]
    seen = keypoints.seen(
        keypoints.anchors(body, stage.transforms), shot.camera, SIZE, [p.depth for p in stage.pictures]
    )
    clean = tracks.clean_tracks(stage.rows, seen, shot.camera, SIZE, (np.zeros((10, 576)),) * 2)
    dwpose = clean.values["dwpose"].reshape(-1, 128, 3)[frame]
    mediapipe = clean.values["mediapipe"][frame, :132].reshape(33, 4)
    found = {
        5: "L_Shoulder",
        2: "R_Shoulder",
        6: "L_Elbow",
        3: "R_Elbow",
        7: "L_Wrist",
        4: "R_Wrist",
        8: "R_Hip",
        11: "L_Hip",
    }
    found |= {
        18: "L_Wrist",
        19: "L_Thumb1",
        25: "L_Index3",
        39: "R_Wrist",
        44: "R_Index1",
        52: "R_Ring1",
        58: "R_Pinky3",
    }
    worst = 0.0
    for point, name in found.items():
        one, vertices = markers(joints[[INDEX[name]]])
        face, depth = renderer.visible(one, vertices, shot)
        rows_, columns = np.nonzero(face >= 0)
        centroid = (np.array([columns.mean(), rows_.mean()]) + 0.5) / 2  # two rendered points a pixel
        worst = max(worst, float(np.linalg.norm(centroid - dwpose[point, :2])))
        near = seen.pixels[frame, INDEX[name], 2]
        assert near - 0.0125 < depth[face >= 0].min() < near
    assert worst < 0.5
    both = {11: 5, 12: 2, 13: 6, 14: 3, 15: 7, 16: 4, 23: 11, 24: 8}
    np.testing.assert_allclose(mediapipe[list(both), :2], dwpose[list(both.values()), :2], atol=1e-3)


def test_key_points_lie_on_the_figure(stage):
    """Every hand and face point in plain sight is on, or within two pixels of, the part it belongs to."""
    anchors = keypoints.anchors(stage.body, stage.transforms)
    seen = keypoints.seen(anchors, stage.shot.camera, SIZE, [picture.depth for picture in stage.pictures])
    hidden = keypoints.halves(keypoints.DWPOSE, seen.hidden | seen.outside)
    points = keypoints.halves(keypoints.DWPOSE, seen.pixels)
    sets = (
        (range(18, 39), ["Left_Hand"]),
        (range(39, 60), ["Right_Hand"]),
        (range(87, 128), ["Face_Neck", "Upper_Lip", "Lower_Lip"]),
    )
    checked = 0
    for frame, picture in enumerate(stage.pictures):
        for group, names in sets:
            y, x = np.nonzero(np.isin(picture.parts, [PART[name] for name in names]))
            for point in group:
                if not hidden[frame, point]:
                    gap = np.hypot(
                        (x + 0.5) / 2 - points[frame, point, 0], (y + 0.5) / 2 - points[frame, point, 1]
                    ).min()
                    assert gap < 2, (frame, point, gap)
                    checked += 1
    assert checked > 500


def test_own_skin_is_the_packages(stage):
    model = skeleton.figure(SHAPE)
    wanted = model.vertices(skeleton.to_mannequin(stage.rows))[:, stage.body.topology.kept]
    found, normals = stage.body.pose(stage.rows)
    assert np.abs(found[:, : wanted.shape[1]] - wanted).max() < 1e-4
    assert np.abs(np.linalg.norm(normals, axis=-1) - 1)[:, : wanted.shape[1]].mean() < 0.05


def test_parts_are_where_the_picture_differs_from_the_empty_room(stage):
    picture = stage.pictures[3]
    room = np.clip(stage.painter.room, 0, 255).astype(np.uint8).astype(int)
    differs = np.abs(picture.image.astype(int) - room).max(axis=-1) > 2
    blocks = (picture.parts > 0).reshape(SIZE, 2, SIZE, 2).sum(axis=(1, 3))
    assert not differs[blocks == 0].any()  # where nobody is, the room is as it was
    assert differs[blocks == 4].mean() > 0.995
    labels = tracks.grid_rows(picture.depth, picture.parts)[1].reshape(24, 24)
    edges = np.arange(25) * SIZE * 2 // 24
    seen = picture.parts > 0
    share = np.array([[seen[r:s, c:d].mean() for c, d in zip(edges, edges[1:])] for r, s in zip(edges, edges[1:])])
    assert (labels[share > 0.7] > 0).all() and (labels[share < 0.2] == 0).all()


def test_depth_is_metric(renderer, stage):
    """A board square to the view at a known distance, and the wall behind it."""
    camera = stage.shot.camera
    right, up, back = camera.axes()
    for distance in (0.9, 2.1):
        middle = np.array(camera.position) - distance * back
        corners = np.array(
            [middle + x * right + y * up for x, y in ((-0.05, -0.05), (0.05, -0.05), (0.05, 0.05), (-0.05, 0.05))]
        )
        board = SimpleNamespace(vertices=corners, faces=np.array([(0, 1, 2), (0, 2, 3)]))
        face, depth = renderer.visible(board, corners, stage.shot)
        assert np.abs(depth[face >= 0] - distance).max() < 1e-4 and np.isinf(depth[face < 0]).all()
        width = (face >= 0).any(axis=0).sum() / 2
        assert abs(width - 0.1 * camera.focal * SIZE / distance) < 1.5


def test_a_hand_before_the_chest_is_nearer_and_hides_it(stage):
    picture = stage.pictures[2]
    hand, chest = (picture.parts == PART[name] for name in ("Right_Hand", "Upper_Clothing"))
    assert picture.depth[hand].mean() < np.median(picture.depth[chest]) - 0.05
    depth_row, part_row = tracks.grid_rows(picture.depth, picture.parts)
    hand_cells, wall = part_row == PART["Right_Hand"], part_row == 0
    assert hand_cells.any() and depth_row[hand_cells].mean() > depth_row[part_row == PART["Upper_Clothing"]].mean()
    assert depth_row[wall].mean() < 0.2 and depth_row.max() == 1
    anchors = keypoints.anchors(stage.body, stage.transforms)
    seen = keypoints.seen(anchors, stage.shot.camera, SIZE, [p.depth for p in stage.pictures])
    # a point behind the right knuckles, in line with the camera, is hidden by them
    behind, eye = anchors.copy(), np.array(stage.shot.camera.position)
    behind[:, INDEX["Spine3"]] = eye + 1.15 * (anchors[:, INDEX["R_Middle1"]] - eye)
    again = keypoints.seen(behind, stage.shot.camera, SIZE, [p.depth for p in stage.pictures])
    assert again.hidden[:, INDEX["Spine3"]].all() and not seen.hidden[:, keypoints.FACE + 30].any()


def test_left_is_the_signers_left(stage):
    anchors = keypoints.anchors(stage.body, stage.transforms)
    x = stage.shot.camera.project(anchors, SIZE)[..., 0]
    for left, right in (("L_Shoulder", "R_Shoulder"), ("L_Hip", "R_Hip")):
        assert (x[:, INDEX[left]] > x[:, INDEX[right]]).all()  # facing the camera, the signer's left is on the right
    points = keypoints.halves(keypoints.DWPOSE, x[..., None])[..., 0]
    assert (points[:, 15] > points[:, 14]).all() and (points[:, 17] > points[:, 16]).all()  # eyes, ears
    for picture in stage.pictures:
        columns = [np.nonzero(picture.parts == PART[name])[1].mean() for name in ("Left_Hand", "Right_Hand")]
        assert columns[0] > columns[1]


def test_finger_tips_are_at_the_ends_of_fingers(stage):
    body = stage.body
    for side, tips in (("L", body.tips[:5]), ("R", body.tips[5:])):
        for finger, tip in zip(keypoints.HAND_JOINTS, tips):
            own = body.vertices[body.owner == INDEX[f"{side}_{finger}3"]]
            third, second = body.joints[INDEX[f"{side}_{finger}3"]], body.joints[INDEX[f"{side}_{finger}2"]]
            assert np.linalg.norm(own - tip, axis=1).min() < 0.012
            assert 0.5 < np.linalg.norm(tip - third) / np.linalg.norm(third - second) < 2.5


def test_the_jaw_opens_the_mouth(stage):
    rows = np.zeros((2, JOINTS, 3), dtype=np.float32)
    rows[1, INDEX["Jaw"], 0] = 0.4
    points = keypoints.anchors(stage.body, stage.body.transforms(rows.reshape(2, -1)))[
        :, keypoints.FACE : keypoints.FACE + 68
    ]
    gap = points[:, 62, 1] - points[:, 66, 1]
    assert gap[1] > gap[0] + 0.02 and np.allclose(points[0, :55], points[1, :55], atol=1e-6)


def test_classes_are_those_of_sapiens():
    # facebookresearch/sapiens, docs/SEG_README.md
    wanted = {
        0: "Background",
        2: "Face_Neck",
        3: "Hair",
        5: "Left_Hand",
        6: "Left_Lower_Arm",
        12: "Lower_Clothing",
        14: "Right_Hand",
    }
    wanted |= {
        19: "Right_Upper_Arm",
        21: "Torso",
        22: "Upper_Clothing",
        23: "Lower_Lip",
        24: "Upper_Lip",
        27: "Tongue",
    }
    assert len(PARTS) == 28 and all(PARTS[index] == name for index, name in wanted.items())


def test_sleeves_cover_arms(stage):
    parts = {}
    for sleeve in (0.0, 0.5, 1.0):
        look = appearance.Look(**{**stage.look.__dict__, "sleeve": sleeve})
        parts[sleeve] = set(stage.body.paint(look)[1].tolist())
    upper, lower = PART["Left_Upper_Arm"], PART["Left_Lower_Arm"]
    assert [(upper in parts[s], lower in parts[s]) for s in (0.0, 0.5, 1.0)] == [
        (True, True),
        (False, True),
        (False, False),
    ]


def test_clothes_contrast_with_skin():
    looks = [appearance.signer_look(Signer(f"s{i}", SHAPE, False, i)) for i in range(200)]
    apart = np.array([appearance.distance(look.skin, look.top) for look in looks])
    assert apart.min() > 0.2
    brightness = [np.dot(look.skin, appearance.LUMA) for look in looks]
    assert np.ptp(brightness) > 0.5  # light to dark
    assert looks[3] == appearance.signer_look(Signer("other", SHAPE, True, 3)) != looks[4]


def test_hands_stay_in_the_picture():
    body, rows = mesh(SHAPE), signing(20)
    anchors = keypoints.anchors(body, body.transforms(rows))
    hands = [INDEX["L_Wrist"], INDEX["R_Wrist"], *range(keypoints.TIPS, keypoints.TIPS + 10)]
    for seed in range(40):
        shot = appearance.clip_shot(np.random.default_rng(seed), framing(body, anchors))
        pixels = shot.camera.project(anchors[:, [*hands, INDEX["Head"], INDEX["L_Hip"]]], SIZE)[..., :2]
        assert pixels.min() > 0.01 * SIZE and pixels.max() < 0.99 * SIZE


@pytest.fixture(scope="module")
def long_tracks():
    """Clean and noisy tracks of 600 frames; what is hidden is made up, for nothing is drawn."""
    body, rows = mesh(SHAPE), np.concatenate([signing(60), signing(60)[::-1]] * 5)
    anchors = keypoints.anchors(body, body.transforms(rows))
    shot = appearance.clip_shot(np.random.default_rng(2), framing(body, anchors))
    empty = [np.full((8, 8), np.inf, dtype=np.float32)] * len(rows)
    seen = keypoints.seen(anchors, shot.camera, SIZE, empty)
    hidden = seen.hidden.copy()
    hidden[::7, INDEX["L_Index1"] :] = True
    seen = keypoints.Seen(seen.pixels, hidden, seen.outside)
    parts = np.random.default_rng(0).integers(0, 28, (len(rows), 576)).astype(np.float32)
    clean = tracks.clean_tracks(
        rows, seen, shot.camera, SIZE, (np.linspace(0, 1, 576)[None].repeat(len(rows), 0), parts)
    )
    before = {name: values.copy() for name, values in clean.values.items()}
    noisy = tracks.noisy_tracks(clean, seen, SIZE, tracks.Faults(), np.random.default_rng(9))
    assert all(np.array_equal(before[name], clean.values[name]) for name in before)
    return clean, noisy, seen, shot


def test_noise_looks_like_a_detectors(long_tracks):
    clean, noisy, _, _ = long_tracks
    assert {name: values.shape[1] for name, values in noisy.values.items()} == {
        name: layout.width for name, layout in tracks.LAYOUTS.items()
    }
    truth = clean.values["dwpose"].reshape(-1, 128, 3)
    rows, found = noisy.values["dwpose"].reshape(-1, 128, 3), noisy.masks["dwpose"]
    assert 0 < (~found).sum() < 20 and np.isnan(rows[~found]).all()
    shown = found[:, None] & (rows[..., 2] > 0) & (truth[..., 2] > 0)
    error = np.linalg.norm(rows[..., :2] - truth[..., :2], axis=-1)
    plain = shown & (truth[..., 2] == 1)
    assert 0.2 < np.median(error[plain]) < 1.5
    assert np.median(error[shown & (truth[..., 2] == 0.5)]) > 1.5 * np.median(error[plain])
    assert np.corrcoef(error[shown], rows[..., 2][shown])[0, 1] < -0.4
    lost = found & (rows[:, 18:39, 2] == 0).all(axis=1)
    assert 0.01 < lost.mean() < 0.3 and (rows[lost, 18:39] == 0).all()
    # errors last: the error of one frame tells something about that of the next
    first, second = (error * 0 + rows[..., 0] - truth[..., 0])[:-1], (rows[..., 0] - truth[..., 0])[1:]
    both = plain[:-1] & plain[1:]
    assert 0.2 < np.corrcoef(first[both], second[both])[0, 1] < 0.9


def test_mediapipe_rows_are_measured_as_mediapipe_does(long_tracks):
    clean, noisy, seen, shot = long_tracks
    for rows in (clean.values["mediapipe"], noisy.values["mediapipe"][noisy.masks["mediapipe"]]):
        hands = rows[:, 132:].reshape(-1, 2, 21, 3)
        present = (hands != 0).any(axis=(2, 3))
        assert present.mean() > 0.7
        assert np.abs(hands[..., 0, 2][present]).max() < 0.01  # the wrist is the origin of a hand's z
    body = clean.values["mediapipe"][:, :132].reshape(-1, 33, 4)
    metres = seen.pixels[:, INDEX["R_Wrist"], 2] - seen.pixels[:, [INDEX["L_Hip"], INDEX["R_Hip"]], 2].mean(axis=1)
    hips = seen.pixels[:, [INDEX["L_Hip"], INDEX["R_Hip"]], 2].mean(axis=1)
    np.testing.assert_allclose(body[:, 16, 2], metres * shot.camera.focal * SIZE / hips, rtol=1e-4)
    assert (body[:, 16, 2] < 0).all()  # the right hand is before the hips


def test_other_tracks_are_noisy_within_their_range(long_tracks):
    clean, noisy, _, _ = long_tracks
    angles = noisy.values["smplerx"][noisy.masks["smplerx"]] - clean.values["smplerx"][noisy.masks["smplerx"]]
    assert 0.02 < angles[:, :66].std() < 0.04 and angles[:, 75:].std() > 0.05
    depth, parts = noisy.values["primedepth"], noisy.values["sapiens"]
    assert (
        depth.min() == 0
        and depth.max() == 1
        and np.corrcoef(depth.ravel(), clean.values["primedepth"].ravel())[0, 1] > 0.99
    )
    assert set(np.unique(parts)) <= set(range(28))
    assert 0.02 < (parts != clean.values["sapiens"]).mean() < 0.1


def test_a_clip_is_its_seeds(renderer):
    motion = Motion(signing(3), 25.0, (GlossSpan("X", 0.0, 0.1),))
    clips = [render_clip(motion, SIGNER, renderer, np.random.default_rng(seed)) for seed in (4, 4, 5)]
    assert all(np.array_equal(a, b) for a, b in zip(clips[0].images, clips[1].images))
    assert not np.array_equal(clips[0].images[0], clips[2].images[0])
    for name in tracks.LAYOUTS:
        np.testing.assert_array_equal(clips[0].noisy.values[name], clips[1].noisy.values[name])
    assert clips[0].images[0].dtype == np.uint8 and clips[0].images[0].shape == (SIZE, SIZE, 3)
    assert {key.split(".")[0] for key in tracks.notes()} == set(tracks.LAYOUTS) and tracks.notes()[
        "dwpose.source"
    ] == "SignSynth"
