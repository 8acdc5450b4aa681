"""The examples and the table of keys in docs/pacs.md, held against what is read."""

import re
from pathlib import Path

from pydantic import BaseModel

from olvf_assets.intake.pacs.credentials import credentials
from olvf_assets.intake.pacs.pacs_file import Dimse, Pacs, Tls, Wanted, Web, read_pacs
from olvf_assets.intake.pacs.state import FATES
from olvf_assets_tests.intake.pacs.peers import SITE, write_site

PAGE = (Path(__file__).parents[3] / "docs" / "pacs.md").read_text()
TOML = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def test_both_examples_are_read_and_so_are_the_secrets(tmp_path: Path) -> None:
    dimse, web, secrets = TOML
    folder = write_site(tmp_path)
    (folder / "pacs.toml").write_text(dimse)
    assert read_pacs(tmp_path, SITE).dimse is not None
    (folder / "pacs.toml").write_text(web)
    file = folder / "credentials.toml"
    file.write_text(secrets)
    file.chmod(0o600)
    assert credentials(read_pacs(tmp_path, SITE), "basic").user == "spine"


def test_the_page_lists_every_key_with_its_default_and_every_state() -> None:
    keys = "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))
    models: tuple[type[BaseModel], ...] = (Pacs, Dimse, Web, Tls, Wanted)
    named = {name for model in models for name in model.model_fields} - {"institution", "folder"}
    assert {name for name in named if f"`{name}`" not in keys and f"`[{name}]`" not in keys} == set()
    assert {fate for fate in FATES if f"\n| {fate} |" not in PAGE} == set()
    for name in ("overlap_days", "whole_every_days", "max_per_poll", "settle_s"):
        assert f"| `{name}` | {Wanted.model_fields[name].default:.0f} |" in keys
    assert f"| `every_minutes` | {Pacs.model_fields['every_minutes'].default} |" in keys
