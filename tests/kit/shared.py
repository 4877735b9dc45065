# SPDX-License-Identifier: Apache-2.0
"""The real faces and published detections beside the project. They are not part of it (licences, 35 MB), so that a
clone without them skips what needs them; `.ci/run` refuses to start without them.
"""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not here")
