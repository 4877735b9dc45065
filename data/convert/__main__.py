# SPDX-License-Identifier: Apache-2.0
"""Makes other annotation formats into COCO for configs/coco.py: python -m data.convert FORMAT SOURCE --out DIR.

Writes DIR/train.json, DIR/val.json and DIR/images/. Pictures are copied. Files and folders named train, val and test
are the splits; where there is no val, a tenth of the pictures becomes one. --to writes any other of the formats.
"""

import argparse
import sys
from pathlib import Path

from barrel_jax.command_line import Parser, words
from barrel_jax.faces.geometry import UNITS
from barrel_jax.picture_heads import max_pixels
from data.coco.frames import EXIF
from data.convert.convert import Task, convert
from data.convert.formats import FORMATS
from data.convert.record import Options
from data.convert.split import Division


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    formats = "\n".join(f"  {name:12} {form.about}" for name, form in FORMATS.items())
    parser = Parser("python -m data.convert", f"{__doc__}\nformats:\n{formats}")
    division, options, task = Division(), Options(), Task("", Path(), Path())
    parser.add_argument("format", choices=FORMATS, metavar="FORMAT", help=f"of the source: {', '.join(FORMATS)}")
    parser.add_argument("source", type=Path, help="folder of the annotations and pictures, or one annotation file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result; must be empty or not there")
    parser.add_argument(
        "--to", choices=FORMATS, metavar="FORMAT", default=task.to, help="of the result (default: %(default)s)"
    )
    parser.add_argument("--images", type=Path, help="folder of the pictures (default: that of the annotations)")
    parser.add_argument("--link", action="store_true", help="link pictures (hard links) where the disk allows it")
    parser.add_argument("--skip-faulty", action="store_true", help="leave out records that have faults")
    parser.add_argument("--landmarks", type=words, default=[], help="names of those to keep, in order (default: all)")
    parser.add_argument("--unit", choices=tuple(UNITS), help="of points and boxes (default: the format's own)")
    parser.add_argument(
        "--origin", type=int, choices=(0, 1), help="number of the first pixel (default: 1 in .pts, else 0)"
    )
    parser.add_argument("--encoding", default=options.encoding, help="of text files (default: found)")
    split = parser.add_argument_group("division")
    split.add_argument(
        "--val", type=float, default=division.val, help="share for val where there is none (default: %(default)s)"
    )
    split.add_argument("--seed", type=int, default=division.seed, help="draws which pictures (default: %(default)s)")
    split.add_argument("--group", default=division.group, help="column, attribute or field; equal ones stay together")
    split.add_argument("--group-pattern", default=division.group_pattern, metavar="REGEX",
                       help="its first group in a picture's name is the group that stays together")  # fmt: skip
    split.add_argument("--divide-anew", action="store_true", help="take no notice of the source's own division")
    csv = parser.add_argument_group("csv: columns by name, or by number from 1")
    csv.add_argument("--image-column", default=options.image_column, help="of the pictures' names")
    csv.add_argument("--box-columns", type=words, default=[], help="x,y,width,height")
    csv.add_argument("--corners", action="store_true", help="--box-columns are left,top,right,bottom")
    csv.add_argument("--point-columns", type=words, default=[], help="x and y of each point in turn")
    parser.add_argument(
        "--exif", choices=EXIF, default=task.exif, help="frame of pictures that viewers turn (default: %(default)s)"
    )
    other = parser.add_argument_group("labelstudio, coco, cvat")
    other.add_argument("--annotator", default=options.annotator, help="id or e-mail of whose annotations count")
    other.add_argument("--as-shown", action="store_true", help="points of rotated tasks are of what the screen showed")
    other.add_argument(
        "--category",
        default=options.category,
        help="name of the category that is the face; of cvat, label of its skeletons",
    )
    parser.add_max_pixels()
    args = parser.parse_args(arguments)
    with max_pixels(args.max_pixels):
        return parser.run(args, lambda: print(convert(_task(args))))


def _task(args: argparse.Namespace) -> Task:
    options = Options(
        args.encoding, args.image_column, tuple(args.box_columns), args.corners, tuple(args.point_columns),
        args.annotator, args.category,
    )  # fmt: skip
    division = Division(args.val, args.seed, args.group, args.group_pattern, args.divide_anew)
    return Task(
        args.format, args.source, args.out, args.to, args.images, tuple(args.landmarks), args.unit or "",
        args.origin, args.exif, args.as_shown, args.skip_faulty, args.link, options, division,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
