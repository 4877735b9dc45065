# SPDX-License-Identifier: Apache-2.0
"""The model as an ONNX graph, with or without its crop, and that graph run."""
