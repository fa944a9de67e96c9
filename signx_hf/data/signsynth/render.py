"""Images of the figure: VTK finds off screen which face is visible at each point; light and color follow from that.

One pass of flat "number of the face" colors gives image, part labels and visibility that agree to the pixel, and all
that the graphics driver contributes is which face is in front.
"""

import os
from dataclasses import dataclass

import numpy as np

from ...common.extras import require
from ...processing.errors_signx import SignXError
from .appearance import Look, Shot, background
from .arguments import whole
from .mesh import Mesh

OVERSAMPLING = 2  # rendered points across a pixel
NEAR, FAR = 0.2, 8.0  # meters
CREASE = 0.02  # meters of depth between neighbors that make a full contact shadow
WINDOWS = ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow")


@dataclass(frozen=True)
class Picture:
    """One rendered frame.

    Attributes:
        image: [H, W, 3] uint8.
        depth: [2H, 2W] float32 meters along the view, that of the wall where nobody stands.
        parts: [2H, 2W] uint8 labels of `mesh.PARTS`. Like depth at twice the resolution of the image, without blur or
            noise.
    """

    image: np.ndarray
    depth: np.ndarray
    parts: np.ndarray


def _open_window():
    """Return a render window that needs no screen."""
    require("pyvista")
    import vtkmodules.vtkRenderingOpenGL2 as backend
    from vtkmodules.vtkRenderingCore import vtkRenderWindow

    # by name: the factory tries an X server first and complains when there is none
    on_linux = os.name == "posix" and os.uname().sysname == "Linux"
    kinds = [getattr(backend, name) for name in WINDOWS if on_linux and hasattr(backend, name)]
    for kind in (*kinds, vtkRenderWindow):
        window = kind()
        window.SetOffScreenRendering(1)
        window.SetMultiSamples(0)  # a mixture of two face numbers would be a third face
        if window.SupportsOpenGL():
            return window
        window.Finalize()
    raise SignXError(
        "VTK found no OpenGL for off-screen rendering (tried EGL and OSMesa). Install Mesa; on Debian, apt install libegl1 "
        "libgl1-mesa-dri"
    )


class Renderer:
    """Draws one mesh at a time; made once and used for many clips.

    Args:
        size: Width and height of the image in pixels, 16 to 2048.
    """

    def __init__(self, size: int):
        from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper, vtkRenderer

        self.size = size = whole("size", size, 16, 2048)
        self.fine = size * OVERSAMPLING
        self._window = _open_window()
        self._window.SetSize(self.fine, self.fine)
        self._renderer, self._mapper, actor = vtkRenderer(), vtkPolyDataMapper(), vtkActor()
        self._renderer.SetBackground(0, 0, 0)
        self._window.AddRenderer(self._renderer)
        self._mapper.SetColorModeToDirectScalars()
        self._mapper.SetScalarModeToUseCellData()
        actor.SetMapper(self._mapper)
        actor.GetProperty().LightingOff()
        actor.GetProperty().SetInterpolationToFlat()
        actor.GetProperty().BackfaceCullingOn()
        self._renderer.AddActor(actor)
        self._mesh: Mesh | None = None

    def close(self) -> None:
        """Release the OpenGL context."""
        self._window.Finalize()

    def _show(self, mesh: Mesh) -> None:
        from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
        from vtkmodules.vtkCommonCore import vtkPoints
        from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

        if mesh is self._mesh:
            return
        number = np.arange(1, len(mesh.faces) + 1)
        colors = np.stack([number >> 16 & 255, number >> 8 & 255, number & 255], axis=1).astype(np.uint8)
        self._vertices = np.zeros((len(mesh.vertices), 3), dtype=np.float32)
        self._array = numpy_to_vtk(self._vertices)  # shares memory with _vertices
        self._points, cells, self._data = vtkPoints(), vtkCellArray(), vtkPolyData()
        self._points.SetData(self._array)
        cells.SetData(3, numpy_to_vtkIdTypeArray(np.ascontiguousarray(mesh.faces.ravel(), dtype=np.int64), deep=True))
        self._data.SetPoints(self._points)
        self._data.SetPolys(cells)
        self._data.GetCellData().SetScalars(numpy_to_vtk(colors, deep=True))
        self._mapper.SetInputData(self._data)
        self._mesh = mesh

    def _aim(self, shot: Shot) -> None:
        camera, ours = self._renderer.GetActiveCamera(), shot.camera
        camera.SetPosition(*ours.position)
        camera.SetFocalPoint(*ours.target)
        camera.SetViewUp(*ours.axes()[1])
        camera.SetViewAngle(float(np.degrees(2 * np.arctan(0.5 / ours.focal))))
        camera.SetClippingRange(NEAR, FAR)

    def visible(self, mesh: Mesh, vertices: np.ndarray, shot: Shot) -> tuple[np.ndarray, np.ndarray]:
        """Determine which face is visible at each point, and how far away it is.

        Returns:
            face [2H, 2W] int32, -1 for none, and depth [2H, 2W] float32 in meters along the view, infinite for none.
        """
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkFloatArray, vtkUnsignedCharArray

        self._show(mesh)
        self._aim(shot)
        self._vertices[:] = vertices
        self._array.Modified()
        self._points.Modified()
        self._window.Render()
        last = self.fine - 1
        pixels, buffer = vtkUnsignedCharArray(), vtkFloatArray()
        self._window.GetRGBACharPixelData(0, 0, last, last, 0, pixels, 0)
        self._window.GetZbufferData(0, 0, last, last, buffer)
        colors = vtk_to_numpy(pixels).reshape(self.fine, self.fine, 4)[::-1].astype(np.int32)
        face = (colors[..., 0] << 16 | colors[..., 1] << 8 | colors[..., 2]) - 1
        z = vtk_to_numpy(buffer).reshape(self.fine, self.fine)[::-1]
        depth = np.where(face >= 0, NEAR * FAR / (FAR - z * (FAR - NEAR)), np.inf).astype(np.float32)
        return face, depth


class ClipPainter:
    """Draws the frames of one clip: one mesh, one look, one shot."""

    def __init__(self, renderer: Renderer, mesh: Mesh, look: Look, shot: Shot, generator: np.random.Generator):
        self.renderer, self.mesh, self.look, self.shot, self.generator = renderer, mesh, look, shot, generator
        colors, parts = mesh.paint(look)
        self.parts = np.append(parts, np.uint8(0))  # the last for "none", -1
        self.colors = (colors * 255).astype(np.float32)
        self.set_room(background(shot, look, renderer.size))
        camera = shot.camera
        self.wall = float(np.linalg.norm(np.subtract(camera.position, camera.target)) + shot.wall)
        self._corners = tuple(np.ascontiguousarray(mesh.faces[:, corner]) for corner in range(3))
        self._to_light = [(np.array(way, dtype=np.float32), np.float32(strength)) for way, strength in shot.lights]

    def set_room(self, room: np.ndarray) -> None:
        """Replace the image of the empty room, [H, W, 3] float32 from 0 to 255."""
        self.room = room
        self._room_fine = room.repeat(OVERSAMPLING, axis=0).repeat(OVERSAMPLING, axis=1)

    def _lit(self, normals: np.ndarray) -> np.ndarray:
        """Return the color [F, 3] float32 of every face under the lights; normals [V, 3]."""
        first, second, third = (np.take(normals, corner, axis=0) for corner in self._corners)
        normal = first + second + third
        normal /= np.sqrt(np.einsum("fi,fi->f", normal, normal) + np.float32(1e-12))[:, None]
        # light from above counts more: floors and tables send little back
        light = np.float32(self.shot.ambient) * (1 + np.float32(0.25) * normal[:, 1])
        for way, strength in self._to_light:
            light += strength * np.clip(normal @ way, 0, None)
        return self.colors * light[:, None]

    def draw(self, vertices: np.ndarray, normals: np.ndarray, velocity: np.ndarray | None = None) -> Picture:
        """Draw one frame.

        Args:
            vertices: [V, 3].
            normals: [V, 3].
            velocity: [V, 2] pixels per frame, for motion blur.
        """
        face, depth = self.renderer.visible(self.mesh, vertices, self.shot)
        seen = face >= 0
        parts = np.take(self.parts, face, mode="wrap")
        lit = np.concatenate([self._lit(normals), np.zeros((1, 3), dtype=np.float32)])  # the last for "none", -1
        fine = np.take(lit, face, axis=0, mode="wrap")
        np.copyto(fine, self._room_fine, where=~seen[..., None])
        depth = np.where(seen, depth, np.float32(self.wall))
        fine *= np.where(seen, _crease(depth), np.float32(1))[
            ..., None
        ]  # the wall is too far away for contact shadows
        image = _shrink(fine)
        if velocity is not None and self.shot.shutter:
            image = _smear(image, self._flow(face, velocity), self.shot.shutter)
        if self.shot.blur:
            image = _blur(image, self.shot.blur)
        noise = self.generator.standard_normal(image.shape, dtype=np.float32) * np.float32(self.shot.noise)
        return Picture(np.clip(image + noise, 0, 255).astype(np.uint8), depth, parts)

    def _flow(self, face: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """Return how fast what is visible moves, [H, W, 2] pixels per frame."""
        coarse = face[::OVERSAMPLING, ::OVERSAMPLING]
        flow = np.zeros((*coarse.shape, 2), dtype=np.float32)
        seen = coarse >= 0
        flow[seen] = velocity[self.mesh.faces[coarse[seen], 0]]
        return flow


def _shrink(fine: np.ndarray) -> np.ndarray:
    """Average over OVERSAMPLING x OVERSAMPLING points by slices; numpy's mean over short axes is ten times slower."""
    steps = range(OVERSAMPLING)
    total = sum(fine[row::OVERSAMPLING, column::OVERSAMPLING] for row in steps for column in steps)
    return total * np.float32(1 / OVERSAMPLING**2)


def _crease(depth: np.ndarray) -> np.ndarray:
    """Return a shading [H, W], 0.55 to 1, darker where neighbors are nearer, so that hands and fingers stand out."""
    shade = np.ones_like(depth)
    for axis in (0, 1):
        for reach, strength in ((1, 0.28), (3, 0.12)):
            later, earlier = [slice(None)] * 2, [slice(None)] * 2
            later[axis], earlier[axis] = slice(reach, None), slice(None, -reach)
            step = np.clip((depth[tuple(later)] - depth[tuple(earlier)]) / np.float32(CREASE), -1, 1)
            shade[tuple(later)] -= np.float32(strength) * np.clip(step, 0, None)
            shade[tuple(earlier)] -= np.float32(strength) * np.clip(-step, 0, None)
    return np.clip(shade, 0.55, 1)


def _smear(image: np.ndarray, flow: np.ndarray, shutter: float) -> np.ndarray:
    """Blur motion: each point is the mean along its own path [H, W, 2] pixels per frame during the exposure."""
    size = image.shape[0]
    x, y = flow[..., 0], flow[..., 1]
    speed = np.maximum(np.abs(x), np.abs(y))
    if speed.max() * shutter <= 0.5:
        return image
    # what moves also smears over its surroundings: they take the flow of the fastest neighbor
    for axis in (0, 1):
        for way in (-1, 1):
            near_speed = np.roll(speed, way, axis=axis)
            faster = near_speed > np.maximum(speed, 1)
            x, y = np.where(faster, np.roll(x, way, axis=axis), x), np.where(faster, np.roll(y, way, axis=axis), y)
            speed = np.where(faster, near_speed, speed)
    rows, columns = np.nonzero(speed * shutter > 0.5)
    total = np.zeros((len(rows), 3), dtype=np.float32)
    along, down = (np.clip(part[rows, columns] * shutter, -12, 12) for part in (x, y))
    for when in np.linspace(-0.5, 0.5, 5, dtype=np.float32):
        to_x = np.clip(np.rint(columns + when * along).astype(int), 0, size - 1)
        to_y = np.clip(np.rint(rows + when * down).astype(int), 0, size - 1)
        total += image[to_y, to_x]
    image = image.copy()
    image[rows, columns] = total / 5
    return image


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur with a Gaussian kernel of three, edges repeated; for sigma below a pixel."""
    side = np.float32(np.exp(-0.5 / sigma**2))
    middle, side = 1 / (1 + 2 * side), side / (1 + 2 * side)
    padded = np.pad(image, ((1, 1), (0, 0), (0, 0)), mode="edge")
    image = middle * image + side * (padded[:-2] + padded[2:])
    padded = np.pad(image, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return middle * image + side * (padded[:, :-2] + padded[:, 2:])
