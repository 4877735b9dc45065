# SPDX-License-Identifier: Apache-2.0
"""Finds the landmarks in pictures, a video or a camera's frames.

python -m barrel_jax.predict IMAGE|FOLDER|VIDEO|0 [--workdir RUN|FILE|NAME] [--out DIR]
    [--detector haar|yunet:MODEL | --boxes FILE] [--checkpoint latest|best|STEP] [--dtype float32|bfloat16]
    [--backend auto|jax|onnxruntime] [--detect-every N] [--smooth none|one-euro|kalman]

Without --workdir the small model of this package is used (docs/models/small.md). Writes to DIR a drawing of every
picture (NAME.png) or of the video (NAME.mp4), points.json and points.csv. A number is a camera; Ctrl-C ends it, and all
is written. Of a folder the pictures directly in it are taken. What cannot be read or predicted is listed, the rest is
written all the same, and the exit status is 1. Ctrl-C in a folder or a video leaves the rest out: what was done is
written, and the exit status is 130. For a camera, which has no other end, it is the usual one.

points.json is a list of {file, frame, face, box, points}: frame counts from 0 and is null for pictures, face counts
from 0 in each picture, is the number that a face keeps in all frames of a video, or the id that the file of boxes gives
(COCO's annotation), box is x, y, w, h,
points are [[x, y], ...] in pixels of the picture, the centre of the top-left one is (0, 0). A model that knows how sure
its points are adds sigma, a standard deviation of each in pixels, and score, 0 to 1: how much like a face it looks.
Pictures are turned upright as their EXIF says; with --boxes they are so too, unless the file gives them the size of
what is stored, or --exif says so.
"""

import argparse
import sys
from pathlib import Path

from barrel_jax.command_line import STOPPED, Parser
from barrel_jax.config import DTYPES
from barrel_jax.devices.xla import keep_compiled, tune_cpu
from barrel_jax.faces.geometry import UNITS
from barrel_jax.faces.landmarks import SCHEMES
from barrel_jax.files import readable_name
from barrel_jax.picture_heads import max_pixels
from barrel_jax.predict.annotator import Annotator, drawing_names, drawing_of_video, refuse_to_replace, try_folder
from barrel_jax.predict.backend import BACKENDS
from barrel_jax.predict.boxes import BoxFile, read_boxes
from barrel_jax.predict.detectors import make_detector, stated
from barrel_jax.predict.find_faces import GivenBoxes, detected
from barrel_jax.predict.picture_files import find_pictures
from barrel_jax.predict.predictor import Predictor
from barrel_jax.predict.smoothing import SMOOTH, SMOOTHERS, make_smoother
from barrel_jax.predict.tracking import EVERY, Tracker
from barrel_jax.predict.tracks import LIKELY
from barrel_jax.predict.video import Frames


def predict(args: argparse.Namespace) -> tuple[list[str], bool]:
    """Does what the command line says.

    Returns:
        What was wrong with single pictures and boxes, and whether Ctrl-C left a part of the source out: of a camera,
        which ends by it, never.
    """
    tune_cpu()
    keep_compiled()
    source = Path(args.source)
    found = find_pictures(source)
    paths = found.pictures
    if args.out.resolve() == (source if source.is_dir() else source.absolute().parent).resolve():
        raise ValueError(f"--out={args.out}: the pictures are there, and drawings could replace them; choose another")
    if args.boxes and not paths:
        raise ValueError(f"--boxes={args.boxes} are of pictures, and {source} is none; use --detector")
    if paths and (args.detect_every or args.smooth):
        given = "--detect-every" if args.detect_every else "--smooth"
        raise ValueError(f"{given} is of videos, and {source} is of pictures; leave it out")
    faults, unit = list(found.faults), args.unit or "pixel"
    if args.boxes:
        known = read_boxes(args.boxes, unit, args.category)
        unused = known.unused(paths)
        if all(_unknown(known, path) for path in paths):
            has = f" (it has {', '.join(unused[:3])}{', ...' * (len(unused) > 3)})" if unused else ""
            raise ValueError(f"{args.boxes}: no boxes for {paths[0].name} or any other picture of {source}{has}")
        faults += known.faults
        mentioned = [path for path in paths if not source.is_dir() or known.mentions(path)]
        without, paths = sorted(set(paths) - set(mentioned)), mentioned
        boxes = GivenBoxes(known, args.exif, paths, unit)
    else:
        detect = make_detector(args.detector)
    frames = None if paths else Frames(args.source)
    if frames is None:
        refuse_to_replace(args.out, drawing_names(paths), paths, args.boxes)
    else:
        name = f"camera-{args.source}" if frames.is_camera else readable_name(source)
        refuse_to_replace(args.out, [drawing_of_video(name)], [source])
    try_folder(args.out)
    predictor = Predictor.load(args.workdir, args.checkpoint, args.dtype, args.refine, args.backend)
    if predictor.refine < (args.refine or 0):
        print(
            "note: this run does not say how boxes lie about its landmarks, so faces are not cropped again",
            file=sys.stderr,
        )
    parts = f" (--unit {unit})" * (unit != "pixel")
    whose = f"{args.boxes}, taken as they are{parts}" if args.boxes else stated(args.detector)
    again = f"again around the points found (refine {predictor.refine})" if predictor.refine else "once"
    print(f"boxes of {whose}; faces are cropped {again}")
    if args.detector == "haar" and not args.boxes and predictor.scheme not in SCHEMES:
        print(
            "note: the cascade's boxes go from the brows to the chin, and this run's lie about "
            f"{predictor.num_landmarks} points of its own; where its points are off, give boxes like those that it was "
            "trained on (--boxes)",
            file=sys.stderr,
        )
    annotator = Annotator(predictor, args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    stopped = False
    try:
        if frames is None:
            annotator.pictures(paths, boxes.find if args.boxes else detected(detect), searched=not args.boxes)
        else:
            smoother = make_smoother(args.smooth or SMOOTH, frames.rate)
            tracker = Tracker(predictor, detect, frames.rate, smoother, args.detect_every or EVERY)
            # A camera's frames come as fast as they are worked on, whatever it says.
            rate = None if frames.is_camera else frames.rate
            annotator.video(frames, rate, frames.promised, name, tracker, frames.time)
            faults += [fault for fault in (frames.fault(),) if fault]
    except KeyboardInterrupt:
        stopped = frames is None or not frames.is_camera
        print("stopped; what was done until now is written")
    finally:
        written = annotator.write()
    faults += annotator.faults
    if args.boxes and source.is_dir() and unused:
        faults.append(
            f"{args.boxes}: boxes of {len(unused)} pictures that are not in {source}: {', '.join(unused[:3])}"
            + ", ..." * (len(unused) > 3)
        )
    if found.others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in found.others.most_common())
        print(f"{source}: {found.others.total()} files that are no pictures were left out ({kinds})")
    if frames is not None and (note := frames.note()):
        print(f"note: {note}")
    if args.boxes and without:
        named = ", ".join(path.name for path in without[:3]) + ", ..." * (len(without) > 3)
        print(f"note: {args.boxes} has no boxes of {len(without)} pictures of {source}, which are left out: {named}")
    if args.boxes and known.left_out:
        print(f"note: {args.boxes}: {known.left_out} boxes of other categories were left out")
    if args.boxes and (note := boxes.turned()):
        print(f"note: {note}")
    if args.boxes and (why := boxes.doubt()):
        print(f"doubt: {why}", file=sys.stderr)
    unlikely = f" ({annotator.unlikely} of them unlikely, with a score below {LIKELY})" * bool(annotator.unlikely)
    points = " and ".join(map(str, written))
    print(f"faces: {annotator.records.count}{unlikely}; {args.out} has the drawings, {points} the points")
    return faults, stopped


def _unknown(known: BoxFile, path: Path) -> bool:
    try:
        known.of(path)
    except ValueError:
        return True
    return False


def _frames(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of frames, 1 or more")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 1 when anything could not be read or predicted, 130 when stopped."""
    parser = Parser("python -m barrel_jax.predict", __doc__)
    parser.add_argument("source", metavar="IMAGE|FOLDER|VIDEO|0", help="what to find landmarks in")
    parser.add_argument(
        "--workdir",
        default="small",
        metavar="RUN|FILE|NAME",
        help="folder of a trained run, a packed model's file, or the name of one (default: %(default)s)",
    )
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument("--detector", default="haar", help="haar, or yunet:MODEL.onnx (default: %(default)s)")
    boxes.add_argument("--boxes", type=Path, metavar="FILE", help="boxes of the pictures: .json or .csv (boxes.py)")
    parser.add_argument(
        "--unit",
        choices=tuple(UNITS),
        help="of the numbers of --boxes: fraction and percent are of the picture's sides (default: pixel)",
    )
    parser.add_argument(
        "--category",
        default="",
        metavar="NAME",
        help="of a COCO file of --boxes with several: the faces' (default: the one called face)",
    )
    parser.add_argument(
        "--exif",
        choices=("auto", "stored", "upright"),
        default="auto",
        help="which pixels the boxes of pictures with an EXIF orientation are of (default: as the file's sizes say)",
    )
    parser.add_argument("--checkpoint", default="latest", help="latest, best or a saved step (default: %(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, default="", help="of the computation (default: the run's)")
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        help="what runs the network; auto is the fastest that is installed (default: %(default)s)",
    )
    parser.add_argument(
        "--refine",
        type=int,
        choices=range(4),
        help="how often a face is cropped again around its points; 0 trusts the boxes (default: the model's)",
    )
    parser.add_argument(
        "--detect-every",
        type=_frames,
        metavar="N",
        help="of a video: frames from one search for faces to the next, between which they are tracked "
        f"(default: {EVERY})",
    )
    parser.add_argument(
        "--smooth",
        choices=SMOOTHERS,
        help=f"of a video: how points are smoothed from frame to frame (default: {SMOOTH})",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/predict"), help="folder (default: %(default)s)")
    parser.add_max_pixels()
    args = parser.parse_args(arguments)
    if not args.boxes and (args.unit or args.category):
        parser.error(f"{'--unit' if args.unit else '--category'} is of the boxes of a file; give it with --boxes")

    def work() -> int:
        with max_pixels(args.max_pixels):
            faults, stopped = predict(args)
        for fault in faults:
            parser.complain(fault)
        return STOPPED if stopped else 1 if faults else 0

    return parser.run(args, work)


if __name__ == "__main__":
    sys.exit(main())
