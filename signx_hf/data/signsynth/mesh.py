"""The rendered mesh: mannequin-x's wooden skin with a face, less what no camera sees, and how it follows a pose."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...common.extras import require
from ...processing.errors_signx import SignXError
from . import skeleton
from .appearance import Look
from .skeleton import INDEX, JOINTS, figure

# Body parts in the order of Sapiens' 28 classes (facebookresearch/sapiens, docs/SEG_README.md); left is the signer's left.
PARTS = (
    "Background",
    "Apparel",
    "Face_Neck",
    "Hair",
    "Left_Foot",
    "Left_Hand",
    "Left_Lower_Arm",
    "Left_Lower_Leg",
    "Left_Shoe",
    "Left_Sock",
    "Left_Upper_Arm",
    "Left_Upper_Leg",
    "Lower_Clothing",
    "Right_Foot",
    "Right_Hand",
    "Right_Lower_Arm",
    "Right_Lower_Leg",
    "Right_Shoe",
    "Right_Sock",
    "Right_Upper_Arm",
    "Right_Upper_Leg",
    "Torso",
    "Upper_Clothing",
    "Lower_Lip",
    "Upper_Lip",
    "Lower_Teeth",
    "Upper_Teeth",
    "Tongue",
)
PART = {name: index for index, name in enumerate(PARTS)}
MATERIALS = ("skin", "hair", "top", "trousers", "lips", "white", "dark")
MATERIAL = {name: index for index, name in enumerate(MATERIALS)}
LOWEST = -0.78  # meters below the origin, at rest: what is lower is never in the image
KEPT, KEPT_FINE = 0.4, 0.6  # share of the faces kept, and of those of hands and head
FACE_LIFT = 0.003  # meters between the skin and what is painted on it
FINGERS = ("Index", "Middle", "Pinky", "Ring", "Thumb")
# brightness of the skin of each finger: neighbors differ a little, so that a fist is not one blot
FINGER_TINT = {"Index": 1.0, "Middle": 0.92, "Pinky": 0.94, "Ring": 1.02, "Thumb": 1.05}


def _smooth(start: float, stop: float, count: int) -> np.ndarray:
    return np.linspace(start, stop, count)


def _face_template() -> np.ndarray:
    """Return iBUG's face points [68, 2] in half head widths (x, to the signer's left) and heights from the chin."""
    turn = np.pi * np.arange(17) / 16
    jaw = np.stack([-0.95 * np.cos(turn), 0.50 - 0.46 * np.sin(turn) ** 0.8], axis=1)
    arch = np.array((0.0, 0.025, 0.035, 0.03, 0.015))
    right_brow = np.stack([_smooth(-0.74, -0.20, 5), 0.615 + arch], axis=1)
    left_brow = (right_brow * (-1, 1))[::-1]
    bridge = np.stack([np.zeros(4), _smooth(0.55, 0.41, 4)], axis=1)
    nostrils = np.stack([_smooth(-0.17, 0.17, 5), 0.365 - np.array((0, 0.012, 0.018, 0.012, 0))], axis=1)
    right_eye = np.array([(-0.60, 0.53), (-0.50, 0.562), (-0.36, 0.562), (-0.25, 0.525), (-0.36, 0.50), (-0.50, 0.50)])
    left_eye = (right_eye * (-1, 1))[[3, 2, 1, 0, 5, 4]]
    upper = np.array(
        [(-0.36, 0.22), (-0.23, 0.247), (-0.09, 0.262), (0, 0.255), (0.09, 0.262), (0.23, 0.247), (0.36, 0.22)]
    )
    lower = np.array([(0.24, 0.183), (0.11, 0.165), (0, 0.16), (-0.11, 0.165), (-0.24, 0.183)])
    inner = [
        (-0.30, 0.22),
        (-0.12, 0.228),
        (0, 0.228),
        (0.12, 0.228),
        (0.30, 0.22),
        (0.12, 0.212),
        (0, 0.212),
        (-0.12, 0.212),
    ]
    return np.concatenate([jaw, right_brow, left_brow, bridge, nostrils, right_eye, left_eye, upper, lower, inner])


FACE_TEMPLATE = _face_template()
FACE_ON_JAW = (*range(55, 60), 65, 66, 67)  # the lower lip; the wooden chin does not move


@dataclass(frozen=True)
class Topology:
    """What is the same for all body shapes.

    Attributes:
        kept: Vertices of the wooden skin.
        faces: [F, 3] into them.
        weights: [V, 55].
    """

    kept: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    owner: np.ndarray  # [V] strongest joint


def _skin_weights() -> np.ndarray:
    """Return the weights [vertices, 55] of the wooden skin.

    mannequin-x has no public access to its weights, so they are read from inside it; `Mesh` compares its own skin with
    the package's, so that a release that stores them differently is an error and not a wrong image.
    """
    model = figure()
    try:
        joints, values = model._skin_joint_indices, model._skin_weights
    except AttributeError as error:
        raise SignXError(
            f'this mannequin-x has no skin weights where 0.3 has them ({error}). Run pip install "mannequin-x==0.3.0"'
        ) from error
    # the package's L_Hand and R_Hand are the wrists again
    column = [INDEX[name.replace("_Hand", "_Wrist")] for name in model.joint_names]
    weights = np.zeros((model.num_vertices, JOINTS), dtype=np.float32)
    np.add.at(weights, (np.arange(len(weights))[:, None], np.asarray(column)[joints]), values)
    return weights


def _fewer(points: np.ndarray, faces: np.ndarray, share: float) -> np.ndarray:
    """Reduce the faces [F, 3] to about that share, with corners among the existing ones; the rim stays as it is."""
    require("pyvista")
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
    from vtkmodules.vtkFiltersCore import vtkDecimatePro

    data, vertices, cells = vtkPolyData(), vtkPoints(), vtkCellArray()
    vertices.SetData(numpy_to_vtk(np.ascontiguousarray(points), deep=True))
    cells.SetData(3, numpy_to_vtkIdTypeArray(np.ascontiguousarray(faces.ravel(), dtype=np.int64), deep=True))
    data.SetPoints(vertices)
    data.SetPolys(cells)
    numbers = numpy_to_vtk(np.arange(len(points)), deep=True)
    numbers.SetName("number")
    data.GetPointData().AddArray(numbers)
    decimation = vtkDecimatePro()
    decimation.SetInputData(data)
    decimation.SetTargetReduction(1 - share)
    decimation.PreserveTopologyOn()
    decimation.BoundaryVertexDeletionOff()  # seams stay closed
    decimation.Update()
    out = decimation.GetOutput()
    numbers = vtk_to_numpy(out.GetPointData().GetArray("number"))
    return numbers[vtk_to_numpy(out.GetPolys().GetConnectivityArray()).reshape(-1, 3)]


@lru_cache(maxsize=1)
def topology() -> Topology:
    """Return the skin without feet, with fewer faces where it is smooth; remaining vertices are the package's own."""
    model = figure()
    rest = np.asarray(model.vertices(model.rest_pose()), dtype=np.float64)
    weights = _skin_weights()
    owner = weights.argmax(axis=1)
    faces = np.asarray(model.faces)
    faces = faces[rest[faces, 1].max(axis=1) > LOWEST]
    fine = np.isin(owner, [*range(INDEX["L_Index1"], JOINTS), INDEX["L_Wrist"], INDEX["R_Wrist"], INDEX["Head"]])
    fine = fine[faces].any(axis=1)
    faces = np.concatenate([_fewer(rest, faces[fine], KEPT_FINE), _fewer(rest, faces[~fine], KEPT)])
    kept, faces = np.unique(faces, return_inverse=True)
    return Topology(kept, faces.reshape(-1, 3).astype(np.int64), weights[kept], owner[kept])


def _vertex_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (points[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for corner in range(3):
        np.add.at(total, faces[:, corner], normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def _onto(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Project points [K, 2] to [K, 3] on the front triangles [F, 3, 3]; points next to them move toward x = 0."""
    a, b, c = (triangles[:, i] for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    a, b, c, area = (value[np.abs(area) > 1e-12] for value in (a, b, c, area))
    points_on_skin = np.empty((len(points), 3))
    for index, (x, y) in enumerate(points):
        for _ in range(200):
            u = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (y - a[:, 1]) * (c[:, 0] - a[:, 0])) / area
            v = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (b[:, 1] - a[:, 1]) * (x - a[:, 0])) / area
            hit = (u >= 0) & (v >= 0) & (u + v <= 1)
            if hit.any():
                depth = (a[:, 2] + u * (b[:, 2] - a[:, 2]) + v * (c[:, 2] - a[:, 2]))[hit].max()
                break
            x *= 0.98
        else:
            raise SignXError(f"no skin in front of the face at height {y:.3f} m. Use another body shape.")
        points_on_skin[index] = x, y, depth
    return points_on_skin


class _Patches:
    """Collects painted-on pieces of the face: points, faces, joint, material and part of each."""

    def __init__(self, count: int):
        self.count = count
        self.points, self.joints, self.faces, self.materials, self.parts = [], [], [], [], []

    def add(self, points: np.ndarray, faces: list, material: str, part: str, joints: list[int]) -> None:
        start = self.count + len(self.points)
        self.points.extend(np.asarray(points, dtype=np.float64))
        self.joints.extend(joints)
        self.faces.extend([[start + i for i in face] for face in faces])
        self.materials.extend([MATERIAL[material]] * len(faces))
        self.parts.extend([PART[part]] * len(faces))

    def fan(self, rim: np.ndarray, material: str, part: str, joints: list[int] | None = None) -> None:
        """Add a disc: its middle and the rim, counter-clockwise as seen from the front."""
        joints = joints or [INDEX["Head"]] * len(rim)
        faces = [(0, 1 + i, 1 + (i + 1) % len(rim)) for i in range(len(rim))]
        self.add([rim.mean(axis=0), *rim], faces, material, part, [joints[0], *joints])

    def strip(self, first: np.ndarray, second: np.ndarray, material: str, part: str, joints: list[int]) -> None:
        """Add a band between two lines of equal length."""
        count = len(first)
        faces = [f for i in range(count - 1) for f in ((i, count + i, i + 1), (i + 1, count + i, count + i + 1))]
        self.add([*first, *second], faces, material, part, joints)


class Mesh:
    """The figure of one body shape, ready to be posed and colored.

    Attributes:
        vertices: [V, 3] at rest.
        faces: [F, 3].
        weights: [V, 55].
        normals: [V, 3].
        face_points: [68, 3] at rest.
        tips: [10, 3] finger tips at rest, left then right, in the order thumb, index, middle, ring, pinky.
    """

    def __init__(self, shape: tuple[float, ...]):
        self.shape = tuple(float(value) for value in shape)
        self.topology = topology()
        model = figure(self.shape)
        everything = np.asarray(model.vertices(model.rest_pose()), dtype=np.float64)
        skin = everything[self.topology.kept]
        rest = np.zeros((1, skeleton.WIDTH), dtype=np.float32)
        self.joints = skeleton.joint_transforms(rest, self.shape)[0, :, :3, 3].astype(np.float64)
        owner = self.topology.owner
        head = skin[owner == INDEX["Head"]]
        self.chin, self.crown = float(head[:, 1].min()), float(head[:, 1].max())
        self.half_width = float(np.abs(head[:, 0] - self.joints[INDEX["Head"], 0]).max())
        # the jaw turns about a point inside the head, at the height of the ears
        self.joints[INDEX["Jaw"]] = (head[:, 0].mean(), self.chin + 0.4 * (self.crown - self.chin), head[:, 2].mean())
        triangles = skin[self.topology.faces[(owner == INDEX["Head"])[self.topology.faces].all(axis=1)]]
        self.face_points = self._face_points(triangles)
        patches = self._patches(triangles, len(skin))
        self.vertices = np.concatenate([skin, np.array(patches.points)])
        self.faces = np.concatenate([self.topology.faces, np.array(patches.faces)])
        extra = np.zeros((len(patches.points), JOINTS), dtype=np.float32)
        extra[np.arange(len(extra)), patches.joints] = 1
        self.weights = np.concatenate([self.topology.weights, extra])
        self.normals = np.concatenate(
            [_vertex_normals(skin, self.topology.faces), np.broadcast_to((0.0, 0.0, 1.0), (len(extra), 3))]
        )
        self.owner = np.concatenate([owner, patches.joints])
        self.patch_materials, self.patch_parts = np.array(patches.materials), np.array(patches.parts)
        self.tips = self._tips(skin)
        self._place, self._normal = self.vertices.astype(np.float32), self.normals.astype(np.float32)
        self._compare(model)

    def _compare(self, model) -> None:
        """Compare the own skin with the package's in one pose."""
        rows = np.random.default_rng(0).normal(0, 0.4, (1, skeleton.WIDTH)).astype(np.float32)
        expected = model.vertices(skeleton.to_mannequin(rows))[0, self.topology.kept]
        posed, _ = self.pose(rows)
        worst = float(np.abs(posed[0, : len(self.topology.kept)] - expected).max())
        if not worst < 1e-3:
            raise SignXError(
                f'the skin of this mannequin-x is {worst:.3f} m off the one of 0.3.0. Run pip install "mannequin-x==0.3.0"'
            )

    def _at(self, template: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        middle = self.joints[INDEX["Jaw"], 0]
        height = self.crown - self.chin
        plane = np.stack([middle + template[:, 0] * self.half_width, self.chin + template[:, 1] * height], axis=1)
        return _onto(plane, triangles)

    def _face_points(self, triangles: np.ndarray) -> np.ndarray:
        points = self._at(FACE_TEMPLATE, triangles)
        points[27:36, 2] += np.array((0.002, 0.007, 0.013, 0.018, 0.003, 0.007, 0.012, 0.007, 0.003))
        return points

    def _patches(self, triangles: np.ndarray, count: int) -> _Patches:
        head, jaw = INDEX["Head"], INDEX["Jaw"]
        lift = np.array((0, 0, FACE_LIFT))
        points, patches = self.face_points + lift, _Patches(count)
        for eye, brow in ((slice(36, 42), slice(17, 22)), (slice(42, 48), slice(22, 27))):
            rim = points[eye]
            rim = rim + (rim - rim.mean(axis=0)) * (0.4, 1.0, 0)  # larger than life, to be seen at 112 pixels
            patches.fan(rim[::-1], "white", "Face_Neck")
            turn = 2 * np.pi * np.arange(8) / 8
            iris = rim.mean(axis=0) + 0.009 * np.stack([np.cos(turn), np.sin(turn), np.zeros(8)], axis=1)
            patches.fan(iris + 1.5 * lift, "dark", "Face_Neck")
            patches.strip(points[brow] + (0, 0.011, 0), points[brow] + (0, 0.003, 0), "hair", "Face_Neck", [head] * 10)
        upper, lower = points[48:55], points[[48, 59, 58, 57, 56, 55, 54]]
        inner_upper = points[[60, 60, 61, 62, 63, 64, 64]]
        inner_lower = points[[60, 60, 67, 66, 65, 64, 64]]
        inside = np.concatenate([inner_lower[2:5], inner_upper[5:0:-1]]) - lift / 2
        patches.fan(inside, "dark", "Face_Neck", [jaw] * 3 + [head] * 5)
        patches.strip(upper, inner_upper, "lips", "Upper_Lip", [head] * 14)
        corner = [head, jaw, jaw, jaw, jaw, jaw, head]
        patches.strip(inner_lower, lower, "lips", "Lower_Lip", [head, head, jaw, jaw, jaw, head, head] + corner)
        bridge, wings = self.face_points[[27, 30]], self.face_points[[31, 33, 35]]
        faces = [(0, 2, 1), (0, 1, 4), (1, 2, 3), (1, 3, 4)]
        patches.add([*bridge, *wings], faces, "skin", "Face_Neck", [head] * 5)
        return patches

    def _tips(self, skin: np.ndarray) -> np.ndarray:
        tips = []
        for side in "LR":
            for finger in ("Thumb", "Index", "Middle", "Ring", "Pinky"):
                second, third = (self.joints[INDEX[f"{side}_{finger}{i}"]] for i in (2, 3))
                along = (third - second) / np.linalg.norm(third - second)
                own = skin[self.topology.owner == INDEX[f"{side}_{finger}3"]]
                reach = (own - third) @ along
                end = own[reach > reach.max() - 0.006].mean(axis=0)
                tips.append(third + 0.9 * (end - third))  # inside the tip, where a detector puts it
        return np.array(tips)

    def transforms(self, rows: np.ndarray) -> np.ndarray:
        """Return the transforms [T, 55, 3, 4] of rows [T, 165] from rest to the pose, including the jaw."""
        rows = np.asarray(rows, dtype=np.float32)
        placed = skeleton.joint_transforms(rows, self.shape)[..., :3, :].astype(np.float64)
        turn = placed[..., :3]
        jaw, head = INDEX["Jaw"], INDEX["Head"]
        opened = _rotations(rows.reshape(len(rows), JOINTS, 3)[:, jaw])
        offset = self.joints[jaw] - self.joints[head]
        turn[:, jaw] = turn[:, head] @ opened
        placed[:, jaw, :, 3] = placed[:, head, :, 3] + turn[:, head] @ offset
        placed[..., 3] -= np.einsum("tjab,jb->tja", turn, self.joints)
        return placed

    def pose(self, rows: np.ndarray, transforms: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return vertices and normals [T, V, 3] float32 of rows [T, 165]."""
        transforms = self.transforms(rows) if transforms is None else transforms
        frames = len(transforms)
        # [55, 4, T * 3]: one product for all frames, and the columns of the mixed matrices side by side in memory
        columns = np.ascontiguousarray(transforms.transpose(1, 3, 0, 2), dtype=np.float32).reshape(JOINTS, -1)
        mixed = (self.weights @ columns).reshape(len(self.weights), 4, frames * 3)
        place, normal = self._place, self._normal
        points, normals = mixed[:, 3].copy(), np.zeros_like(mixed[:, 3])
        for axis in range(3):
            points += mixed[:, axis] * place[:, axis, None]
            normals += mixed[:, axis] * normal[:, axis, None]
        both = (values.reshape(-1, frames, 3).transpose(1, 0, 2) for values in (points, normals))
        points, normals = (np.ascontiguousarray(values) for values in both)
        return points, normals

    def paint(self, look: Look) -> tuple[np.ndarray, np.ndarray]:
        """Return color [F, 3] (0 to 1) and part [F] (`PARTS`) of every face in a signer's looks."""
        corner = self.faces[: len(self.topology.faces), 0]
        owner, place = self.owner[corner], self.vertices[corner]
        material, part = _cover(owner, look)
        height = (place[:, 1] - self.chin) / (self.crown - self.chin)
        behind = place[:, 2] < self.joints[INDEX["Jaw"], 2] - 0.01
        lowest = -0.3 if look.hair_length else 0.35
        onto_head = np.isin(owner, (INDEX["Head"], INDEX["Neck"]))
        sides = np.abs(place[:, 0] - self.joints[INDEX["Jaw"], 0]) > 0.7 * self.half_width
        hair = onto_head & ((height > look.hairline) | (behind & (height > lowest)) | (sides & (height > 0.62)))
        material[hair], part[hair] = MATERIAL["hair"], PART["Hair"]
        palette = np.array(
            [look.skin, look.hair, look.top, look.trousers, look.lips, (0.95, 0.95, 0.93), (0.1, 0.05, 0.05)]
        )
        tint = np.ones(JOINTS)
        for side in "LR":
            for finger in FINGERS:
                for number in (1, 2, 3):
                    tint[INDEX[f"{side}_{finger}{number}"]] = FINGER_TINT[finger]
        color = palette[material] * tint[owner][:, None]
        color = np.concatenate([color, palette[self.patch_materials]])
        return color, np.concatenate([part, self.patch_parts]).astype(np.uint8)


def _cover(owner: np.ndarray, look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Return material and part of faces by the joint they follow; covered skin is clothing, as Sapiens labels it."""
    material = np.full(len(owner), MATERIAL["top"])
    part = np.full(len(owner), PART["Upper_Clothing"])

    def set_to(names: list[str], to_material: str, to_part: str) -> None:
        chosen = np.isin(owner, [INDEX[name] for name in names])
        material[chosen], part[chosen] = MATERIAL[to_material], PART[to_part]

    legs = [f"{side}_{name}" for side in "LR" for name in ("Hip", "Knee", "Ankle", "Foot")]
    set_to(["Pelvis", *legs], "trousers", "Lower_Clothing")
    set_to(["Neck", "Head"], "skin", "Face_Neck")
    for side, name in (("L", "Left"), ("R", "Right")):
        set_to(
            [f"{side}_Wrist", *(f"{side}_{finger}{i}" for finger in FINGERS for i in (1, 2, 3))],
            "skin",
            f"{name}_Hand",
        )
        if look.sleeve < 1:
            set_to([f"{side}_Elbow"], "skin", f"{name}_Lower_Arm")
        if look.sleeve == 0:
            set_to([f"{side}_Shoulder"], "skin", f"{name}_Upper_Arm")
    return material, part


def _rotations(vectors: np.ndarray) -> np.ndarray:
    """Convert axis-angle [..., 3] to rotation matrices [..., 3, 3] (Rodrigues) in the dtype of the vectors."""
    vectors = np.asarray(vectors, dtype=np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors / np.maximum(angle[..., 0], 1e-12), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@lru_cache(maxsize=16)
def mesh(shape: tuple[float, ...] = (0.0,) * 10) -> Mesh:
    """Return the mesh of a body shape; the last few are cached."""
    return Mesh(shape)
