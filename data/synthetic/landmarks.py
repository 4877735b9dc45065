# SPDX-License-Identifier: Apache-2.0
"""The annotations of WFLW (98), 300W (68) and COFW (29) on the head, in their order (docs/protocols.md)."""

import numpy as np

from data.synthetic.head import Head

SCHEME_NAMES = ("wflw-98", "300w-68", "cofw-29")


def along(line: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Points at the shares t [n] of the polyline's knots [k, 2]: [n, 2]."""
    knots = np.linspace(0, 1, len(line))
    return np.stack([np.interp(t, knots, line[:, 0]), np.interp(t, knots, line[:, 1])], -1)


def pupils(head: Head) -> np.ndarray:
    """Centres of the irises, image left then right: [2, 2] frontal."""
    gaze = np.array(head.does.gaze)
    return np.stack([eye.centre + gaze * [eye.half_width, eye.half_width] * [0.55, 0.25] for eye in head.eyes])


def frontal_points(head: Head, scheme: str) -> np.ndarray:
    """All points but the jaw of 98 and 68 and the chin of 29, in the scheme's order: [K - jaw, 2]."""
    n, wing = head.nose, head.nose["wing"]
    left, right = head.eyes
    if scheme == "cofw-29":
        return _cofw(head)
    ridge = np.stack([np.zeros(4), np.linspace(n["root"], n["tip"], 4)], 1)
    spread = 0.155 if scheme == "wflw-98" else 0.142
    base = np.stack(
        [
            wing * spread * np.array([-1, -0.54, 0, 0.54, 1]),
            [n["wing_y"], n["base"] - 0.012, n["base"] + 0.006, n["base"] - 0.012, n["wing_y"]],
        ],
        1,
    )
    if scheme == "wflw-98":
        brows = []
        for k, (upper, lower) in enumerate(head.brows):
            u, lo = upper, lower
            # 33..37 run along the upper edge from the outer end, 38..41 back along the lower one; 42..46 start
            # at the inner end.
            brows += [u, lo[:0:-1]] if k == 0 else [u[::-1], lo[1:]]
        t = np.array([0.235, 0.5, 0.765])
        eye_left = [left.outer[None], left.lid(t, True), left.inner[None], left.lid(t[::-1], False)]
        eye_right = [right.inner[None], right.lid(t[::-1], True), right.outer[None], right.lid(t, False)]
        return np.concatenate(
            [*brows, ridge, base, *eye_left, *eye_right, head.lips["outer"], inner_lips(head, 1.15), pupils(head)]
        )
    brow_t = np.array([0.0, 0.23, 0.47, 0.71, 0.93])
    share = np.array([0.5, 0.2, 0.2, 0.2, 0.2])[:, None]
    rows = [along(u, brow_t) * (1 - share) + along(lo, brow_t) * share for u, lo in head.brows]
    t = np.array([0.3, 0.675])
    eye_left = [left.outer[None], left.lid(t, True), left.inner[None], left.lid(t[::-1], False)]
    eye_right = [right.inner[None], right.lid(t[::-1], True), right.outer[None], right.lid(t, False)]
    return np.concatenate(
        [rows[0], rows[1][::-1], ridge, base, *eye_left, *eye_right, head.lips["outer"], inner_lips(head, 0.82)]
    )


def inner_lips(head: Head, spread: float) -> np.ndarray:
    """The inner lip line [8, 2]; 300W puts the four points beside the middle closer to it than WFLW does."""
    inner = head.lips["inner"].copy()
    inner[1::2, 0] = head.who.skew + spread * (inner[1::2, 0] - head.who.skew)
    return inner


def _cofw(head: Head) -> np.ndarray:
    n, wing = head.nose, head.nose["wing"]
    (ul, ll), (ur, lr) = head.brows
    left, right = head.eyes
    mid = np.array([0.5])
    tops = [along(u, mid) for u in (ul, ur)]
    bottoms = [along(lo, mid) for lo in (ll, lr)]
    lids = [eye.lid(mid, up) for eye in (left, right) for up in (True, False)]
    outer, inner = head.lips["outer"], head.lips["inner"]
    rows = [
        ul[:1],
        ur[:1],
        (ul[-1:] + ll[-1:]) / 2,
        (ur[-1:] + lr[-1:]) / 2,
        tops[0],
        bottoms[0],
        tops[1],
        bottoms[1],
        left.outer[None],
        right.outer[None],
        left.inner[None],
        right.inner[None],
        *lids,
        pupils(head),
        [
            [-0.185 * wing, n["wing_y"] - 0.035],
            [0.185 * wing, n["wing_y"] - 0.035],
            [0, n["tip"]],
            [0, n["base"] + 0.006],
        ],
        outer[[0, 6]],
        outer[3:4],
        inner[2:3],
        inner[6:7],
        outer[9:10],
    ]
    return np.concatenate([np.asarray(r) for r in rows])


def jaw_paths(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Where WFLW's 33 jaw points may lie: each slides along a path on the surface, from the jaw line towards the cheek.

    People mark the visible outline: on the far side of a turned head that is the cheek, on the near side the jaw
    line itself.
    Returns the paths [33, n, 3] and the outward direction of each in the upright head [33, 2].
    """
    index = np.arange(33)
    tangent = head.jaw[np.minimum(index + 1, 32)] - head.jaw[np.maximum(index - 1, 0)]
    outward = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    s = np.linspace(0, 1, 12)
    near_chin = np.exp(-(((index - 16) / 4.0) ** 2))
    theta = np.sign(index - 16)[:, None] * (np.pi / 2) * (1 - 0.62 * s)
    y = head.jaw[:, 1:2] - 0.16 * near_chin[:, None] * s
    return head.surface(theta, y), outward


def jaw_of(scheme: str, jaw: np.ndarray) -> np.ndarray:
    """The scheme's own of WFLW's 33 jaw points [33, ...]: every second one for 300W, the chin for COFW."""
    return {"wflw-98": jaw, "300w-68": jaw[::2], "cofw-29": jaw[16:17]}[scheme]


def in_order(scheme: str, jaw: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Joins jaw points and the others [..] in the scheme's order.

    COFW ends with the chin, the others start with the jaw.
    """
    return np.concatenate([inner, jaw] if scheme == "cofw-29" else [jaw, inner])
