# SPDX-License-Identifier: Apache-2.0
"""Anyone's own faces, from COCO keypoints JSON: `DIR/<split>.json` and `DIR/images/`."""
