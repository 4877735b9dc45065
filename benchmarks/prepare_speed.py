# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of preparing WFLW, the cost of a killed build, and the seconds until training starts after it.

python -m benchmarks.wflw_standin DIR
python -m benchmarks.prepare_speed DIR

writes benchmarks/results/prepare.json. DIR may be the real download.
"""

import argparse
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from barrel_jax.provenance import ROOT, describe, write
from data.images import JPEG, PNG, region_of
from data.wflw.source import read_source

FORMATS = {
    "PNG, compression 1": (".png", PNG),
    "JPEG 95": (".jpg", (cv2.IMWRITE_JPEG_QUALITY, 95)),
    "JPEG 98, full colour (chosen)": (".jpg", JPEG),
}


def stored_as(source: Path, count: int = 200) -> list[dict[str, Any]]:
    """What each format of a stored region costs: milliseconds, kilobytes, and mean absolute error of its pixels."""
    download = read_source(source)
    regions = []
    for face in itertools.islice(download.splits["train"], count):
        pixels = download.image(face.file)[1]
        x, y, w, h = region_of(face.box, [], (pixels.shape[1], pixels.shape[0]))
        regions.append(np.ascontiguousarray(pixels[y : y + h, x : x + w]))
    rows = []
    for name, (suffix, options) in FORMATS.items():
        start = time.perf_counter()
        encoded = [cv2.imencode(suffix, region, options)[1] for region in regions]
        seconds = time.perf_counter() - start
        errors = [
            np.abs(cv2.imdecode(bytes_, cv2.IMREAD_COLOR).astype(int) - region).mean()
            for bytes_, region in zip(encoded, regions, strict=True)
        ]
        kilobytes = sum(map(len, encoded)) / count / 1e3
        rows.append({"format": name, "ms": 1e3 * seconds / count, "kb": kilobytes, "error": float(np.mean(errors))})
    return rows


def build(source: Path, data_dir: Path, kill_after: float = 0.0) -> dict[str, float]:
    """Prepares the set in a process of its own: wall seconds and peak memory; `kill_after` seconds it is killed."""
    command = [sys.executable, "-m", "data.prepare", "wflw", "--source", str(source), "--data-dir", str(data_dir)]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "--allow-partial"], cwd=ROOT, stdout=subprocess.DEVNULL)
    if kill_after:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL):
        sys.exit(f"data.prepare ended with status {os.waitstatus_to_exitcode(status)}")
    # ru_maxrss is in KiB on Linux.
    return {"seconds": time.perf_counter() - start, "peak_memory_gb": usage.ru_maxrss * 1024 / 1e9}


def start_training(source: Path, data_dir: Path) -> dict[str, float]:
    """Seconds from the command line until the faces are on the device, and until the first step is done."""
    with tempfile.TemporaryDirectory() as workdir:
        command = [sys.executable, "train.py", "--config", "configs/wflw.py", "--workdir", f"{workdir}/run"]
        command += [f"--config.data.source={source}", f"--config.data.data_dir={data_dir}"]
        command += ["--config.data.allow_partial=True", "--config.loop.log_steps=1"]
        command += ["--config.pretrained=", "--config.optim.backbone_multiplier=1"]  # speed alone is measured
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            log, placed = Path(workdir, "run", "metrics.jsonl"), 0.0
            while not (log.exists() and log.stat().st_size):
                if process.poll() is not None:
                    sys.exit(f"train.py ended with status {process.returncode}")
                # The folder of the run is claimed when the crops of both splits are there.
                if not placed and log.parent.joinpath("run.json").exists():
                    placed = time.perf_counter() - start
                time.sleep(0.02)
            return {"seconds_to_crops": placed, "seconds_to_first_step": time.perf_counter() - start}
        finally:
            process.kill()
            process.wait()


def main() -> None:
    """Builds, kills and builds, starts twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    args = parser.parse_args()
    source = args.source.resolve()
    result = describe("prepare")
    lists = sorted((source / "WFLW_annotations" / "list_98pt_rect_attr_train_test").glob("*.txt"))
    faces = sum(len(path.read_text().splitlines()) for path in lists)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        data_dir = Path(folder, "sets")
        whole = build(source, data_dir)
        rows.append({"what": "build", "faces": faces, **whole, "faces_per_s": faces / whole["seconds"]})
        stored = sum(path.stat().st_size for path in data_dir.rglob("*.array_record*"))
        rows[-1] |= {"stored_gb": stored / 1e9, "faces_per_s_per_core": faces / whole["seconds"] / os.cpu_count()}
        for what in ("first start", "start from the cache"):
            rows.append({"what": what, **start_training(source, data_dir)})
        shutil.rmtree(data_dir)
        killed = build(source, data_dir, kill_after=0.6 * whole["seconds"])
        rows.append({"what": "killed", **killed})
        rows.append({"what": "build after the kill", **build(source, data_dir)})
    write(ROOT / "benchmarks" / "results" / "prepare.json", result | {"rows": rows, "stored": stored_as(source)})


if __name__ == "__main__":
    main()
