# SPDX-License-Identifier: Apache-2.0
"""The TFDS builder of a folder of COCO keypoints."""

from data.build import SourceFaces


class CocoFaces(SourceFaces, skip_registration=True):
    """Anyone's own faces, from COCO keypoints JSON: `DIR/<split>.json` and `DIR/images/`."""
