# SPDX-License-Identifier: Apache-2.0
"""The same model in PyTorch: the oracle of the tests, the opponent of the benchmark, and weights both ways."""
