# SPDX-License-Identifier: Apache-2.0
"""Backbones of every kind that are small: what holds of a kind is shown in a second, where HRNet-W18 takes ten."""

from barrel_jax.backbones import BACKBONES, RESNETS, HRNetPlan, ResNetPlan

# More than one block and module in a stage, so that they are told apart by their numbers; among them the last stage of
# the bottlenecks, whose second block is dilated at stride 16.
BOTTLENECKS = ResNetPlan("small_bottlenecks", "", (2, 1, 1, 2), bottleneck=True, width=16)
HRNET = HRNetPlan("small_hrnet", "", branches=(6, 10, 14, 18), modules=(2, 1, 1), blocks=2, width=16)


def add_small_backbones(monkeypatch):
    """Puts them into the tables of backbones, where a config finds them by name, until the test ends."""
    for plan in (BOTTLENECKS, HRNET):
        monkeypatch.setitem(BACKBONES, plan.name, plan)
    monkeypatch.setitem(RESNETS, BOTTLENECKS.name, BOTTLENECKS)
