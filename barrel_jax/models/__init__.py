# SPDX-License-Identifier: Apache-2.0
"""One concept of the paper per file; the only home of flax.linen's layers."""
