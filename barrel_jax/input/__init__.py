# SPDX-License-Identifier: Apache-2.0
"""The way from a built set to the devices: source (records), crops (protocol crops, cached), augment, placement."""
