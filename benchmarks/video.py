# SPDX-License-Identifier: Apache-2.0
"""Points from frame to frame, measured on drawn clips whose points are known.

python -m benchmarks.video [MODEL] [--frames 90] [--minutes 1,10]

A still face in a panned picture (jitter), a face that swings (lag), two faces that cross (numbers), frames per second
with the detector in every frame and with tracking, and resident memory after minutes of video at 30 frames a second.
Writes benchmarks/results/video.json.
"""

import argparse
import itertools
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.evaluation.flicker import normalised_mean_flicker
from barrel_jax.predict.annotator import Annotator
from barrel_jax.predict.detectors import make_detector
from barrel_jax.predict.face import Face
from barrel_jax.predict.predictor import Predictor
from barrel_jax.predict.smoothing import SMOOTHERS, make_smoother
from barrel_jax.predict.tracking import Tracker
from barrel_jax.predict.tracks import side, tight
from barrel_jax.provenance import ROOT, describe, write
from benchmarks.clips import EYES, RATE, crossing, draw_face, panned

PEOPLE = (3, 7, 11)
EVERY = (10, 30)  # frames from one detection to the next
LAGS = np.arange(-1, 6, 0.05)  # frames


def pan(number: int) -> tuple[float, float]:
    """A camera that goes by evenly."""
    return 220 + 2.3 * number, 200 + 0.7 * number


def swing(number: int) -> tuple[float, float]:
    """A head that moves to and fro in two seconds, by most of its width."""
    return 320 + 60 * math.sin(2 * math.pi * number / 60), 240 + 0.3 * number


def jitter(points: np.ndarray, truth: np.ndarray) -> float:
    """Standard deviation over the frames of the error along an axis, root mean square over the points, in pixels."""
    return float(np.sqrt(((points - truth).std(axis=0) ** 2).mean()))


def lag(points: np.ndarray, truth: np.ndarray) -> float:
    """By how many frames the points come late: the shift of the true path that fits theirs best."""
    found, known = points.mean(axis=1)[10:-10], truth.mean(axis=1)
    frames = np.arange(len(truth))

    def error(late: float) -> float:
        moved = np.stack([np.interp(frames - late, frames, known[:, axis]) for axis in (0, 1)], axis=1)[10:-10]
        return float((found - moved).std(axis=0).sum())

    return float(LAGS[np.argmin([error(late) for late in LAGS])])


def smoothed(name: str, faces: list[Face]) -> np.ndarray:
    """The points [T, 68, 2] of one face, frame after frame, through a new smoother."""
    smoother = make_smoother(name, RATE)()
    if smoother is None:
        return np.stack([face.points for face in faces]).astype(np.float64)
    return np.stack([smoother(face.points, face.sigma, side(tight(face.points))) for face in faces])


def follow(predictor: Predictor, frames: list[np.ndarray], every: int) -> tuple[list[Face], float]:
    """The first face of each frame, by tracking with detections every so many frames, and frames per second."""
    tracker = Tracker(predictor, make_detector("haar"), RATE, every=every)
    tracker(frames[0])
    tracker = Tracker(predictor, make_detector("haar"), RATE, every=every)
    start = time.perf_counter()
    found = [tracker(frame)[0].face for frame in frames]
    return found, len(frames) / (time.perf_counter() - start)


def detected(predictor: Predictor, frames: list[np.ndarray]) -> tuple[list[Face], float]:
    """The same by the detector's largest box in every frame, as before there was tracking."""
    detect = make_detector("haar")
    start = time.perf_counter()
    found = [predictor.faces(frame, detect(frame)[:1])[0] for frame in frames]
    return found, len(frames) / (time.perf_counter() - start)


def measure_motion(predictor: Predictor, count: int, people: list[int]) -> list[dict[str, Any]]:
    """Jitter, lag, flicker and speed of each way, means over people."""
    rows: dict[tuple[str, str], list[dict[str, float]]] = {}
    for person in people:
        face = draw_face(person)
        clips = [list(panned(face, path, count, person)) for path in (pan, swing)]
        truths = [np.stack([points for _, points in clip]) for clip in clips]
        frames = [[frame for frame, _ in clip] for clip in clips]
        ways = {"detector in every frame": lambda shown: detected(predictor, shown)}
        ways |= {f"tracked, detector every {n}": lambda shown, n=n: follow(predictor, shown, n) for n in EVERY}
        for way, run in ways.items():
            (still, speed), (moving, _) = run(frames[0]), run(frames[1])
            for name in SMOOTHERS if way.startswith("tracked") else ("none",):
                here, there = smoothed(name, still), smoothed(name, moving)
                rows.setdefault((way, name), []).append(
                    {
                        "jitter_px": jitter(here[10:], truths[0][10:]),
                        "lag_frames": lag(there, truths[1]),
                        "nmf": 100 * normalised_mean_flicker(here, truths[0]),
                        "error_px": float(np.linalg.norm(there - truths[1], axis=2).mean()),
                        "frames_per_s": speed,
                    }
                )
        print(person, flush=True)
    return [
        {"way": way, "smooth": name} | {key: float(np.mean([row[key] for row in some])) for key in some[0]}
        for (way, name), some in rows.items()
    ]


def measure_crossing(predictor: Predictor, count: int) -> list[dict[str, Any]]:
    """Whether two faces that cross keep their numbers, for several pairs and speeds."""
    rows = []
    for (first, second), speed in itertools.product(((1, 7), (3, 9)), (4.0, 8.0)):
        faces = [draw_face(first, 60), draw_face(second, 60)]
        reach = speed * count / 2
        paths = [
            lambda n, v=speed, r=reach: (320 - r * 0.9 + v * 0.9 * n, 230.0),
            lambda n, v=speed, r=reach: (320 + r * 0.9 - v * 0.9 * n, 250.0),
        ]
        inside = [n for n in range(count) if all(70 < path(n)[0] < 570 for path in paths)]
        tracker = Tracker(predictor, make_detector("haar"), RATE)
        by_person: list[list[int]] = [[], []]
        for number, (frame, points) in enumerate(crossing(faces, paths, count)):
            tracked = tracker(frame)
            if number not in inside:
                continue
            for found in tracked:
                apart = np.linalg.norm(points.mean(axis=1) - found.face.points.mean(axis=0), axis=1)
                by_person[int(apart.argmin())].append(found.number)
        # At the ends the faces lie apart: a person's number there has to be the same.
        kept = all(numbers and numbers[0] == numbers[-1] for numbers in by_person)
        kept = kept and by_person[0][0] != by_person[1][0]
        rows.append({"pair": f"{first} and {second}", "speed": speed, "kept": bool(kept), "numbers": tracker.count})
        print(rows[-1], flush=True)
    return rows


def measure_memory(predictor: Predictor, minutes: list[int]) -> list[dict[str, float]]:
    """Resident megabytes when so many minutes of video are done, from frames to coded file and points."""
    face = draw_face(PEOPLE[0])
    clip = [frame for frame, _ in panned(face, swing, 60)]
    rows: list[dict[str, float]] = []

    def frames() -> Iterator[np.ndarray]:
        for number in range(round(max(minutes) * 60 * RATE) + 1):
            if number in [round(minute * 60 * RATE) for minute in minutes]:
                rows.append({"minutes": number / RATE / 60, "resident_mb": resident()})
                print(rows[-1], flush=True)
            yield clip[number % len(clip)]

    with tempfile.TemporaryDirectory() as folder:
        annotator = Annotator(predictor, Path(folder))
        tracker = Tracker(predictor, make_detector("haar"), RATE, make_smoother("kalman", RATE))
        annotator.video(
            frames(), RATE, 0, "clip.mp4", tracker, (number / RATE for number in itertools.count()).__next__
        )
        annotator.write()
    return [*rows, {"minutes": float(max(minutes)), "resident_mb": resident(), "written": True}]


def resident() -> float:
    """Megabytes of memory that this process holds."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="small", help="a run, a file or a name (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=90, help="of each clip (default: %(default)s)")
    parser.add_argument("--people", default=",".join(map(str, PEOPLE)), help="drawn faces (default: %(default)s)")
    parser.add_argument("--minutes", default="1,10", help="of video, for memory (default: %(default)s)")
    args = parser.parse_args()
    result = describe("video", "benchmarks.video")
    predictor = Predictor.load(args.model)
    out = ROOT / "benchmarks" / "results" / "video.json"
    result |= {"model": Path(args.model).name, "frames": args.frames, "eyes_px": EYES, "people": args.people}
    result["rows"] = measure_motion(predictor, args.frames, [int(person) for person in args.people.split(",")])
    write(out, result | {"crossing": []})
    result["crossing"] = measure_crossing(predictor, args.frames)
    write(out, result)
    if args.minutes:
        result["memory"] = measure_memory(predictor, [int(minute) for minute in args.minutes.split(",")])
        write(out, result)


if __name__ == "__main__":
    main()
