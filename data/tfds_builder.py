# SPDX-License-Identifier: Apache-2.0
"""The face record that every set shares, and how a set is written.

Frames: points are (x, y) in source pixels with the centre of the top-left pixel at (0, 0); boxes are x, y, w, h in
source pixels where the left edge of the first column is 0 (COCO's); `region` is the part of the source image that is
stored, so a point lies at `point - region[:2]` in the stored image; `size` is the whole source image's width, height.
"""

import contextlib
import errno
import io
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer, writer

from barrel_jax.encodings import readable
from barrel_jax.progress import follow
from data.regions import Region
from data.source import Face

SHARD = 1024  # faces in a file of a set


def face_features(num_points: int, num_flags: int) -> tfds.features.FeaturesDict:
    """The features of one stored face with K = `num_points` landmarks and F = `num_flags` flags (F may be 0)."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format=None),
            "points": tfds.features.Tensor(shape=(num_points, 2), dtype=np.float32),
            "visible": tfds.features.Tensor(shape=(num_points,), dtype=np.uint8),
            "box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
            "region": tfds.features.Tensor(shape=(4,), dtype=np.int32),
            "size": tfds.features.Tensor(shape=(2,), dtype=np.int32),
            "flags": tfds.features.Tensor(shape=(num_flags,), dtype=np.uint8),
            "file": tfds.features.Text(),
            "face": tfds.features.Scalar(dtype=np.int64),
        }
    )


def face_record(face: Face, stored: Region) -> dict[str, Any]:
    """One face, and what is stored of its image, in the types of `face_features`."""
    return {
        "image": stored.image,
        "points": np.asarray(face.points, np.float32),
        "visible": np.asarray(face.visible, np.uint8),
        "box": np.asarray(face.box, np.float32),
        "region": np.asarray(stored.region, np.int32),
        "size": np.asarray(stored.size, np.int32),
        "flags": np.asarray(face.flags, np.uint8),
        "file": readable(face.file),
        "face": np.int64(face.face),
    }


class FaceSetBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes faces as ArrayRecord, in the order in which `faces` gives them.

    A subclass lives in its own package (TFDS looks for files beside it) and defines `faces`.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, data_dir: str | Path, metadata: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
        """`metadata` is that of `data.metadata.face_metadata`, `sizes` the number of faces of every split."""
        self.face_metadata = dict(metadata)
        self.sizes = dict(sizes)
        super().__init__(data_dir=str(data_dir), file_format="array_record")

    def faces(self, split: str) -> Iterator[tuple[Face, Region]]:
        """Yields every face of a split with what is stored of its image."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        features = face_features(self.face_metadata["num_points"], len(self.face_metadata["flag_names"]))
        metadata = tfds.core.MetadataDict(self.face_metadata)
        return self.dataset_info_from_configs(features=features, metadata=metadata, disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in self.sizes}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        label = f"{self.face_metadata['dataset']} {split}"
        faces = follow(self.faces(split), self.sizes[split], label, "face")
        yield from enumerate(itertools.starmap(face_record, faces))

    def _generate_splits(
        self, dl_manager: tfds.download.DownloadManager, download_config: tfds.download.DownloadConfig
    ) -> list[tfds.core.SplitInfo]:
        # TFDS's own keeps a whole split in memory, for shuffling, and from 1 GB on needs TensorFlow to do so.
        generators = self._split_generators(dl_manager)
        return [self._write_split(split, examples) for split, examples in generators.items()]

    def _write_split(self, split: str, examples: Iterator[tuple[int, dict[str, Any]]]) -> tfds.core.SplitInfo:
        """Writes examples as they come, `SHARD` to a file."""
        features = self.info.features
        serialiser = example_serializer.ExampleSerializer(features.get_serialized_info())
        shards = writer.ShardWriter(features, serialiser, writer.ExampleWriter(file_format=self.info.file_format))
        template = self._get_filename_template(split_name=split)
        count = -(-self.sizes[split] // SHARD)
        paths = [template.sharded_filepath(shard_index=index, num_shards=count) for index in range(count)]
        lengths = [shards.write(itertools.islice(examples, SHARD), path) for path in paths]
        next(examples, None)  # what `faces` does after the last face
        return tfds.core.SplitInfo(
            name=split,
            shard_lengths=lengths,
            num_bytes=sum(path.stat().length for path in paths),
            filename_template=template,
        )


def build_faces(builder: FaceSetBuilder) -> Path:
    """Builds the set and returns its folder, for `tfds.builder_from_directory`. Nothing half-built is left behind.

    Raises:
        OSError: the disk is full (ENOSPC) or cannot be written.
    """
    tfds.disable_progress_bar()
    try:
        # TFDS announces a download that does not happen; our own bar goes to stderr.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except (OSError, RuntimeError) as error:
        # ArrayRecord reports the operating system's error as a RuntimeError with its text.
        if getattr(error, "errno", None) != errno.ENOSPC and "No space left" not in str(error):
            raise
        raise OSError(
            errno.ENOSPC,
            f"the disk is full: no set was built in {builder.data_path.parent}, and what was written is not used; "
            "free space there or choose another folder (--data-dir, config.data.data_dir)",
        ) from error
    return Path(builder.data_path)
