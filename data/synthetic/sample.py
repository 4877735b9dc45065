# SPDX-License-Identifier: Apache-2.0
"""One synthetic face: random parameters -> picture, points, visibility, box and flags."""

from dataclasses import dataclass

import numpy as np

from data.synthetic.background import draw_background
from data.synthetic.camera import Camera, Pose, sample_pose
from data.synthetic.chart import Chart
from data.synthetic.expression import Expression, sample_expression
from data.synthetic.hair import cloth_colour, draw_back, draw_strands, paint_hair
from data.synthetic.head import Head
from data.synthetic.identity import Identity, sample_identity
from data.synthetic.landmarks import SCHEME_NAMES, frontal_points, in_order, jaw_of, jaw_paths
from data.synthetic.light import Light, sample_light
from data.synthetic.looks import Looks, sample_looks
from data.synthetic.occluders import THINGS, Sight, Things, draw_glasses, sample_things
from data.synthetic.photo import Photo, sample_photo, take_photo
from data.synthetic.render import draw_body, draw_ear, draw_head
from data.synthetic.skin import paint_face

FLAG_NAMES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")  # WFLW's, docs/protocols.md
SIZES = (160, 168, 176)


@dataclass(frozen=True)
class Scene:
    """All parameters of one picture."""

    who: Identity
    does: Expression
    looks: Looks
    pose: Pose
    light: Light
    things: Things
    photo: Photo
    size: int  # pixels of the picture's side
    fill: float  # share of the side that the 98 points' box takes
    offset: tuple[float, float]  # of the box's centre from the picture's, as a share of the side

    @property
    def flags(self) -> np.ndarray:
        """WFLW's six flags [6] uint8 in the order of FLAG_NAMES."""
        return np.array(
            [
                self.pose.large,
                self.does.exaggerated,
                self.light.extreme,
                self.looks.makeup,
                self.things.occluding,
                self.photo.blurred,
            ],
            np.uint8,
        )


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draws all parameters."""
    return Scene(
        who=sample_identity(rng),
        does=sample_expression(rng),
        looks=sample_looks(rng),
        pose=sample_pose(rng),
        light=sample_light(rng),
        things=sample_things(rng),
        photo=sample_photo(rng),
        size=int(rng.choice(SIZES)),
        fill=float(rng.uniform(0.58, 0.66)),
        offset=tuple(float(o) for o in rng.uniform(-0.03, 0.03, 2)),
    )


def aim(head: Head, pose: Pose, jaw: np.ndarray, size: int, fill: float, offset: tuple[float, float]) -> Camera:
    """The camera that puts the box of the 98 points where the scene wants it; `jaw` [33, 3] is the visible outline."""
    points = Camera(pose).project(np.concatenate([jaw, head.lift(frontal_points(head, "wflw-98"))]))
    low, high = points.min(0), points.max(0)
    scale = fill * size / (high - low).max()
    shift = size * (0.5 + np.array(offset)) - 0.5 - scale * (low + high) / 2
    return Camera(pose, float(scale), tuple(float(s) for s in shift))


def hidden_by_itself(
    chart: Chart, shown: tuple[np.ndarray, np.ndarray], frontal: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Whether the head hides its own points: the pixel shows another place of the chart. [n] bool for frontal
    points [n, 2] at `points` [n, 2].

    `shown` is what `draw_head` returns.
    """
    at = chart.at(frontal)
    where, coverage = shown
    cell = np.clip(np.rint(points), 0, len(where) - 1).astype(int)
    away = np.abs(where[cell[:, 1], cell[:, 0]] - at).max(1)
    return (away > 0.16 * chart.per_unit) | (coverage[cell[:, 1], cell[:, 0]] < 0.05)


@dataclass(frozen=True)
class Drawing:
    """A drawn scene, before it is photographed."""

    canvas: np.ndarray  # [S, S, 3] uint8, RGB
    covered: np.ndarray  # [S, S] uint8, above 0 where something hides the face
    head: Head
    jaw: np.ndarray  # [33, 3] the visible outline of cheeks and chin
    camera: Camera
    chart: Chart
    shown: tuple[np.ndarray, np.ndarray]  # of draw_head

    def annotate(self, scheme: str) -> tuple[np.ndarray, np.ndarray]:
        """Points [K, 2] in pixels and visibility [K] uint8 (1 hidden, 2 visible) in the scheme's order."""
        frontal = frontal_points(self.head, scheme)
        inner = self.camera.project(self.head.lift(frontal))
        jaw = self.camera.project(jaw_of(scheme, self.jaw))
        hidden = in_order(scheme, np.zeros(len(jaw), bool), hidden_by_itself(self.chart, self.shown, frontal, inner))
        points = in_order(scheme, jaw, inner)
        cell = np.clip(np.rint(points), 0, len(self.canvas) - 1).astype(int)
        hidden |= self.covered[cell[:, 1], cell[:, 0]] > 0
        return points, np.where(hidden, 1, 2).astype(np.uint8)


def draw_scene(scene: Scene, rng: np.random.Generator) -> Drawing:
    """Draws the scene; `rng` gives textures and the shapes of things."""
    head = Head(scene.who, scene.does)
    jaw = Camera(scene.pose).outline(*jaw_paths(head))
    camera = aim(head, scene.pose, jaw, scene.size, scene.fill, scene.offset)
    looks, light = scene.looks, scene.light
    canvas = draw_background(scene.size, rng)
    if light.extreme and rng.random() < 0.5:
        canvas = (canvas * min(light.brightness, 1)).astype(np.uint8)
    covered = np.zeros((scene.size, scene.size), np.uint8)
    chart = Chart(head)
    paint_face(chart, looks, rng)
    volume = paint_hair(chart, looks, rng)
    draw_back(canvas, camera, looks, light.brightness, rng)
    draw_body(
        canvas, head, camera, looks, light, cloth_colour(rng), float(rng.normal(0, 0.12)), float(rng.uniform(0.6, 0.95))
    )
    show_ears = looks.hair_style not in ("long", "curly")
    if show_ears:
        for side in (-1, 1):
            draw_ear(canvas, head, camera, looks, light, side, front=False)
    shown = draw_head(canvas, chart, volume, camera, light)
    if show_ears:
        for side in (-1, 1):
            draw_ear(canvas, head, camera, looks, light, side, front=True)
    sight = Sight(canvas, covered, head, camera, looks, light.brightness)
    if scene.things.glasses:
        draw_glasses(sight, scene.things.glasses, rng)
    draw_strands(canvas, covered, camera, looks, light.brightness, rng)
    for kind in scene.things.others:
        THINGS[kind](sight, rng)
    return Drawing(canvas, covered, head, jaw, camera, chart, shown)


def face_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """The random numbers of one face: a pure function of its address."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *split.encode(), index])))


def sample_face(seed: int, split: str, index: int, scheme: str) -> dict:
    """Face `index` of a split as the record that all sets share (data/tfds_builder.py), the same bytes on each run.

    Points are in pixels (the centre of the top-left pixel is (0, 0)), `box` and `region` in edge coordinates. The
    picture does not
    depend on the scheme ('wflw-98', '300w-68' or 'cofw-29').
    """
    if scheme not in SCHEME_NAMES:
        raise ValueError(f"unknown scheme {scheme!r} for synthetic faces: choose one of {', '.join(SCHEME_NAMES)}")
    rng = face_rng(seed, split, index)
    scene = sample_scene(rng)
    drawing = draw_scene(scene, rng)
    image = take_photo(drawing.canvas, scene.photo, rng)
    points, visible = drawing.annotate(scheme)
    return {
        "image": image,
        "points": points.astype(np.float32),
        "visible": visible,
        "box": loose_box(points, rng),
        "region": np.array([0, 0, scene.size, scene.size], np.int32),
        "flags": scene.flags,
        "file": f"{split}/{index:06d}.jpg",
        "face": index,
    }


def loose_box(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The tight box of points [K, 2] grown by a few per cent a side, as a detector or a person would give it.

    [4] float32, edge coordinates.
    """
    low, high = points.min(0) + 0.5, points.max(0) + 0.5
    grow = np.clip(rng.normal(0.025, 0.015, (2, 2)), -0.01, 0.07) * (high - low).max()
    low, high = low - grow[0], high + grow[1]
    return np.concatenate([low, high - low]).astype(np.float32)
