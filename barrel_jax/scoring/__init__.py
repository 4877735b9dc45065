# SPDX-License-Identifier: Apache-2.0
"""One evaluation from its command line to its files; what is measured in it is in evaluation/."""
