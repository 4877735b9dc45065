# SPDX-License-Identifier: Apache-2.0
"""The TFDS builder of 300W."""

from data.build import SourceFaces


class W300(SourceFaces, skip_registration=True):
    """300W (68 points), from the folders of its five sources with images and `.pts` files."""
