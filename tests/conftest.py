"""What holds for every test, and golden files, which change only with --update-golden."""

import json
from collections.abc import Callable, Iterator
from difflib import unified_diff
from itertools import islice

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether the code is right; no test asserts real time.
settings.register_profile("archaudit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("archaudit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files of rendered reports")
    parser.addoption(
        "--update-docs", action="store_true", help="rewrite the sample outputs of README.md and docs, and the config reference"
    )


@pytest.fixture(autouse=True, scope="session")
def every_config_fulfils_the_schema() -> Iterator[None]:
    """Each config that a test reads without a fault is valid by the JSON Schema of `archaudit schema config`, too."""
    import jsonschema

    from archaudit.config import make_config_schema, reading

    validator = jsonschema.Draft202012Validator(make_config_schema())
    read_config = reading.read_config

    def read_and_validate(content: dict[str, object], *args: object, **kwargs: object) -> object:
        config = read_config(content, *args, **kwargs)
        validator.validate(json.loads(json.dumps(content, default=str)))  # a date is a text in JSON
        return config

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "read_config", read_and_validate)
        yield


@pytest.fixture
def match_golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with the file of a name in the folder `golden` beside the test; `--update-golden` writes it instead."""
    folder = request.path.parent / "golden"
    update = request.config.getoption("--update-golden")

    def match(name: str, text: str) -> None:
        path = folder / name
        if update:
            folder.mkdir(exist_ok=True)
            path.write_bytes(text.encode())
        golden = path.read_bytes().decode()
        if golden != text:  # compared by hand: pytest's own difference of two pages takes minutes
            lines = islice(unified_diff(golden.splitlines(), text.splitlines(), name, "now", lineterm="", n=0), 40)
            pytest.fail("\n".join([f"{name} differs; if that is meant: pytest {request.path} --update-golden", *lines]), pytrace=False)

    return match
