# SPDX-License-Identifier: Apache-2.0
"""The five staves of the paper's barrel, measured on trained runs."""
