"""Settings: where they come from, what they refuse, and that the README tells all of them."""

import re
from pathlib import Path

import pytest

from settings import InvalidSettings, Settings, read_settings, variable_of
from tests.keyrings import MASTER_KEY

README = Path(__file__).parent.parent / "README.md"
ROW = re.compile(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|none) \| .+ \|$", re.MULTILINE)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of whoever runs the tests."""
    for field in Settings.model_fields:
        monkeypatch.delenv(variable_of(field), raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_readme_has_every_setting_with_its_default() -> None:
    defaults = Settings().model_dump() | {"database_url": Settings().database_url.get_secret_value()}
    expected = {variable_of(field): "" if value is None else str(value) for field, value in defaults.items()}

    documented = dict(ROW.findall(README.read_text()))

    assert documented == {
        name: value.lower() if value in {"True", "False"} else value for name, value in expected.items()
    }


def test_what_is_given_beats_the_environment_which_beats_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("HOST=file\nPORT=1\nLICENSEGRAPH_MAX_COST=0\nSOMEONE_ELSES=1\n")
    monkeypatch.setenv("HOST", "environment")
    monkeypatch.setenv("LICENSEGRAPH_INTROSPECTION", "no")
    monkeypatch.setenv("LICENSEGRAPH_LOG_LEVEL", "WARNING")
    monkeypatch.setenv("LICENSEGRAPH_MAX_DEPTH", "")

    settings = read_settings(host="given", port=None)

    assert (settings.host, settings.port, settings.max_cost) == ("given", 1, 0)
    assert (settings.introspection, settings.log_level, settings.max_depth) == (False, "warning", 15)
    assert read_settings().host == "environment"
    assert Settings().port == 4000, "only read_settings looks for a file"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "http"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "postgresql://localhost:port/db"),
        ("LICENSEGRAPH_POOL_SIZE", "0"),
        ("LICENSEGRAPH_MAX_TOKENS", "-1"),
        ("LICENSEGRAPH_MAX_DEPTH", "1.5"),
        ("LICENSEGRAPH_MAX_ALIASES", "-1"),
        ("LICENSEGRAPH_MAX_ROOT_FIELDS", "-1"),
        ("LICENSEGRAPH_MAX_COST", "-1"),
        ("LICENSEGRAPH_MAX_BODY_BYTES", "1MB"),
        ("LICENSEGRAPH_INTROSPECTION", "perhaps"),
        ("LICENSEGRAPH_LOG_LEVEL", "loud"),
        ("LICENSEGRAPH_LOG_FORMAT", "xml"),
        ("LICENSEGRAPH_RSA_BITS", "2047"),
        ("LICENSEGRAPH_RSA_BITS", "2049"),
        ("LICENSEGRAPH_RSA_BITS", "16392"),
        ("LICENSEGRAPH_ROTATION_LIMIT", "-1"),
        ("LICENSEGRAPH_MASTER_KEY", "secret"),
        ("LICENSEGRAPH_MASTER_KEY", "a" * 42),
        ("LICENSEGRAPH_MASTER_KEY", "a" * 43 + "é"),
        ("LICENSEGRAPH_MASTER_KEY", "a" * 20 + " " + "a" * 22),
        ("LICENSEGRAPH_MASTER_KEY", "a" * 44),
    ],
)
def test_a_wrong_value_is_refused_by_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(InvalidSettings) as refused:
        read_settings()

    assert str(refused.value).startswith(f"{variable}: ")
    assert len(str(refused.value).splitlines()) == 1


def test_all_faults_come_at_once_and_never_show_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://me:secret@localhost/db")
    monkeypatch.setenv("LICENSEGRAPH_MAX_COST", "secret")
    monkeypatch.setenv("LICENSEGRAPH_MASTER_KEY", "secret")

    with pytest.raises(InvalidSettings) as refused:
        read_settings(port=-1)
    monkeypatch.delenv("LICENSEGRAPH_MAX_COST")
    monkeypatch.delenv("LICENSEGRAPH_MASTER_KEY")

    said = [line.partition(":")[0] for line in str(refused.value).splitlines()]
    assert said == ["PORT", "DATABASE_URL", "LICENSEGRAPH_MAX_COST", "LICENSEGRAPH_MASTER_KEY"]
    assert "secret" not in str(refused.value)
    shown = repr(Settings(database_url="postgresql://me:secret@localhost/db", master_key=MASTER_KEY))
    assert "secret" not in shown
    assert MASTER_KEY not in shown


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\n")

    with pytest.raises(InvalidSettings, match=r"\.env: is not UTF-8 text"):
        read_settings()
