# SPDX-License-Identifier: Apache-2.0
"""Anyone's own faces, from COCO keypoints JSON: `DIR/<split>.json` and `DIR/images/`."""

from data.coco.coco import CocoFaces

__all__ = ["CocoFaces"]
