# SPDX-License-Identifier: Apache-2.0
"""The pictures and results beside docs/, which its pages name, as files of the site."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

RESULTS = "benchmarks/results"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the results that pages may name."""
    root = Path(config.docs_dir).parent
    for path in sorted((root / RESULTS).glob("*")):
        if path.suffix in (".json", ".png"):
            files.append(File.generated(config, f"{RESULTS}/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Names them where the site has them: one step down from where the clone has them."""
    return re.sub(rf"\]\(\.\./((?:\.\./)*){RESULTS}/", rf"](\g<1>{RESULTS}/", markdown)
