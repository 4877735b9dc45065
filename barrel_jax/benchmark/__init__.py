# SPDX-License-Identifier: Apache-2.0
"""Speed measured side by side: python -m barrel_jax.benchmark infer | train | table4"""
