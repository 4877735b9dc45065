# SPDX-License-Identifier: Apache-2.0
"""Scores a run, or anybody's predictions, on a split of a dataset.

python evaluate.py --workdir W [--dataset SET --source DIR --split S] [--stress] [--report]
python evaluate.py --predictions FILE --dataset SET [--source DIR] [--split S] [--workdir OUT]

Without --source a set's download is looked for in DATA_DIR/downloads/SET. Prints the table, the errors in source pixels
and in the crop, and writes metrics.json, predictions.npz and pictures to WORKDIR/eval/<set>-<split>. Predictions are
scored from the annotations alone where the images are not there (--dataset cofw68). --stress also predicts the faces
hidden, turned, blurred, shifted and by pose, each at five strengths, prints those errors and writes stress.json there.
--sequences takes the pictures of a folder for the frames of a clip and prints how much the points flicker, too.
--report writes report.html there: all of it to look at, with worst faces, attention and training curves, in one file.
"""

import sys

from barrel_jax.devices.xla import keep_compiled, tune_cpu
from barrel_jax.extras import require_train
from barrel_jax.scoring.arguments import Request, RequestParser
from barrel_jax.scoring.evaluate import evaluate
from barrel_jax.scoring.predicted import FaceReaders
from data.annotated import truth_alone
from data.face_sets import FACE_SETS, READING
from data.prepare import prepare_config


def score(request: Request) -> None:
    """Scores what is asked for, on all devices."""
    require_train()
    tune_cpu()
    keep_compiled()
    evaluate(request, FaceReaders(prepare_config, truth_alone))


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = RequestParser("evaluate.py", __doc__, FACE_SETS, READING)
    args = parser.parse_args(arguments)
    request = parser.request(args)
    return parser.run(args, lambda: score(request))


if __name__ == "__main__":
    sys.exit(main())
