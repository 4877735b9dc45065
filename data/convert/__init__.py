# SPDX-License-Identifier: Apache-2.0
"""Other annotation formats to COCO and back, one format a file: python -m data.convert FORMAT SOURCE --out DIR."""
