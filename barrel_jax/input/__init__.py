# SPDX-License-Identifier: Apache-2.0
"""From a built set to arrays on the devices: source (records), crops (protocol crops, cached), placement."""
