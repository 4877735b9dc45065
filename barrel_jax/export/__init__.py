# SPDX-License-Identifier: Apache-2.0
"""A run's model as files that need none of this code: python -m barrel_jax.export WORKDIR"""
