# SPDX-License-Identifier: Apache-2.0
"""The model as an ONNX graph, and that graph run."""
