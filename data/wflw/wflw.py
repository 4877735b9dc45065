# SPDX-License-Identifier: Apache-2.0
"""The TFDS builder of WFLW."""

from data.build import SourceFaces


class Wflw(SourceFaces, skip_registration=True):
    """WFLW (98 points), from its images and its lists of points, boxes and attributes."""
