# SPDX-License-Identifier: Apache-2.0
"""The TFDS builder of COFW."""

from data.build import SourceFaces


class Cofw(SourceFaces, skip_registration=True):
    """COFW (29 points and their occlusion), from its two MATLAB 7.3 files of colour images."""
