# SPDX-License-Identifier: Apache-2.0
"""PyTorch for the parity tests: `from tests.kit.needs_torch import torch`, in the place of `import torch` and above all
that imports it (pyproject sorts it so), skips a file or a test where it is not installed. `.ci/run` installs it and
refuses to go on without it.
"""

import pytest

torch = pytest.importorskip("torch", reason="no PyTorch here, which the parity tests want: pip install -e '.[parity]'")
