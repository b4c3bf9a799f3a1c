"""Settings: their sources, the refused values, and their table in the README."""

import re
from pathlib import Path

import pytest

from settings import InvalidSettings, Settings, read_settings, unknown_variables, variable_of
from tests.keyrings import MASTER_KEY

README = Path(__file__).parent.parent / "README.md"
ROW = re.compile(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|none) \| .+ \|$", re.MULTILINE)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove all settings from the environment, and change to an empty folder, which has no .env file."""
    for field in Settings.model_fields:
        monkeypatch.delenv(variable_of(field), raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_readme_has_every_setting_with_its_default() -> None:
    defaults = Settings().model_dump() | {"database_url": Settings().database_url.get_secret_value()}
    expected = {
        variable_of(field): "" if value in {None, ()} else str(value) for field, value in defaults.items()
    }

    documented = dict(ROW.findall(README.read_text()))

    assert documented == {
        name: value.lower() if value in {"True", "False"} else value for name, value in expected.items()
    }


def test_arguments_override_the_environment_which_overrides_the_file(
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
    assert Settings().port == 4000, "only read_settings reads .env"


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
        ("LICENSEGRAPH_CORS_ORIGINS", "http://portal.example"),
        ("LICENSEGRAPH_CORS_ORIGINS", "https://portal.example/"),
        ("LICENSEGRAPH_CORS_ORIGINS", "https://portal.example https://other.example"),
        ("LICENSEGRAPH_CORS_ORIGINS", "https://portal.example,*"),
        ("LICENSEGRAPH_CORS_ORIGINS", "null"),
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
def test_the_error_of_a_wrong_value_names_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(InvalidSettings) as refused:
        read_settings()

    assert str(refused.value).startswith(f"{variable}: ")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ()),
        ("*", "*"),
        ("Off", "off"),
        ("https://portal.example", ("https://portal.example",)),
        (
            "HTTPS://Portal.example:443, https://*.preview.example,http://localhost:3000 ,",
            ("https://portal.example", "https://*.preview.example", "http://localhost:3000"),
        ),
    ],
)
def test_origins_are_separated_by_commas(
    value: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LICENSEGRAPH_CORS_ORIGINS", value)

    assert read_settings().cors_origins == expected


def test_the_error_about_an_origin_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LICENSEGRAPH_CORS_ORIGINS", "https://a.example,https://portal.example/app")

    with pytest.raises(InvalidSettings) as refused:
        read_settings()

    assert str(refused.value) == (
        'LICENSEGRAPH_CORS_ORIGINS: "https://portal.example/app" must have the form https://portal.example '
        "or https://portal.example:8443, without a path"
    )


def test_all_errors_are_reported_together_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\n")

    with pytest.raises(InvalidSettings, match=r"\.env: not UTF-8 text"):
        read_settings()


def test_a_variable_that_is_not_a_setting_is_found_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("LICENSEGRAPH_MAX_DEPHT=3\nSOMEONE_ELSES=1\nLICENSEGRAPH_MAX_COST=1\n")
    monkeypatch.setenv("LICENSEGRAPH_PORTS", "80")
    monkeypatch.setenv("LICENSEGRAPH_STATEMENT_TIMEOUT", "3")
    monkeypatch.setenv("LICENSEGRAPH_COLOUR_OF_THE_SKY", "blue")
    monkeypatch.setenv("licensegraph_max_tokens", "9")
    monkeypatch.setenv("LICENSEGRAPH_HOST", "any")

    assert unknown_variables() == {
        "LICENSEGRAPH_COLOUR_OF_THE_SKY": None,
        "LICENSEGRAPH_MAX_DEPHT": "LICENSEGRAPH_MAX_DEPTH",
        "LICENSEGRAPH_PORTS": "PORT",
        "LICENSEGRAPH_STATEMENT_TIMEOUT": "LICENSEGRAPH_STATEMENT_TIMEOUT_S",
    }
    assert read_settings().max_tokens == 9
    assert read_settings().host == "any"
