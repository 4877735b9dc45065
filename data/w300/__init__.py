# SPDX-License-Identifier: Apache-2.0
"""300W (68 points), from the folders of its five sources with images and `.pts` files."""
