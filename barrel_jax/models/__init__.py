# SPDX-License-Identifier: Apache-2.0
"""The network, one concept of the paper a file; the only home of flax.linen's layers."""
