# SPDX-License-Identifier: Apache-2.0
"""The TFDS builder of COFW-68."""

from data.build import SourceFaces


class Cofw68(SourceFaces, skip_registration=True):
    """COFW-68 (68 points on the 507 test images of COFW), a test set only."""
