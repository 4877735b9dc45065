# SPDX-License-Identifier: Apache-2.0
"""Features of a built set, which name Python classes: those that this project writes, or none is built."""

import json
import shutil
import sys

import pytest

from barrel_jax.input import source
from data.prepare import prepare_config
from data.tfds_builder import face_features
from tests.kit import small

CLASS = "tensorflow_datasets.core.features.text_feature.Text"


@pytest.mark.parametrize(("points", "flags"), [(3, 0), (98, 6)])
def test_the_features_are_those_of_the_builders(tmp_path, points, flags):
    face_features(points, flags).save_config(str(tmp_path))
    assert json.loads((tmp_path / "features.json").read_text()) == source._written_features(points, flags)


def test_a_class_that_a_set_names_is_not_imported(tmp_path, monkeypatch):
    config = small.config(data__data_dir=str(tmp_path), data__synthetic_train=2, data__synthetic_test=2)
    built = prepare_config(config.data)
    assert len(source.open_split(built, "test")) == 2
    forged = shutil.copytree(built, tmp_path / "forged")
    (tmp_path / "evil_module").with_suffix(".py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    said = (forged / "features.json").read_text()
    for forgery in (
        said.replace(CLASS, "evil_module.Text"),
        said.replace("FeaturesDict", "Other"),
        said.replace('"29"', '"30"'),
        "[]",
    ):
        (forged / "features.json").write_text(forgery)
        with pytest.raises(
            ValueError, match=r"features\.json: these are not the features of a set .* prepare the set again"
        ):
            source.open_split(forged, "test")
    assert not (tmp_path / "ran").exists() and "evil_module" not in sys.modules
