"""The setting `modules`: a whole list, or changes to the default one; `data` is a reserved name."""

from __future__ import annotations

from typing import Any

import pytest

from pyexec.config import DEFAULT_MODULES, Config
from pyexec.config_modules import DATA_MODULES
from pyexec.errors import ConfigError


def modules(value: Any) -> Any:
    return Config.of(modules=value).modules


def test_names_alone_are_the_whole_list() -> None:
    assert modules("json math") == ("json", "math")
    assert modules(("json", "os.path")) == ("json", "os.path")


@pytest.mark.parametrize("value", ["+pandas +google.protobuf -sys", ["+pandas", "+google.protobuf", "-sys"]])
def test_signs_change_the_default_list(value: Any) -> None:
    rest = tuple(name for name in DEFAULT_MODULES if name != "sys")
    assert modules(value) == rest + ("pandas", "google.protobuf")


def test_a_list_with_changes_made_is_taken_as_it_is() -> None:
    once = modules("+pandas -sys")
    assert modules(once) == once


def test_the_last_word_on_a_name_counts() -> None:
    assert "sys" in modules("-sys +sys")
    assert "pandas" not in modules("+pandas -pandas")


def test_matplotlib_comes_with_its_toolkits() -> None:
    assert modules("+matplotlib") == (*DEFAULT_MODULES, "matplotlib", "mpl_toolkits")
    assert "mpl_toolkits" not in modules("+matplotlib -mpl_toolkits")
    assert modules("+matplotlib -matplotlib") == modules("+matplotlib -mpl_toolkits -matplotlib") == DEFAULT_MODULES
    assert set(DATA_MODULES) - set(modules("+data -matplotlib")) == {"matplotlib", "mpl_toolkits"}
    assert modules("matplotlib") == ("matplotlib",)  # a whole list is as it is


def test_data_has_what_its_libraries_bring_along() -> None:
    assert {"mpl_toolkits", "mpmath", "joblib", "patsy", "dateutil"} <= set(modules("+data"))


def test_data_stands_for_the_libraries_of_a_code_interpreter() -> None:
    assert modules("+data") == DEFAULT_MODULES + DATA_MODULES
    assert set(DATA_MODULES) - set(modules("+data -sympy")) == {"sympy"}
    assert modules("+data -data") == DEFAULT_MODULES


@pytest.mark.parametrize(
    "value, words",
    [
        ("json +pandas", "must be either a whole list of names, or changes"),
        ("-pandas", "'pandas' can't be taken away: it isn't in the list"),
        ("-xml.sax", "'xml.sax' can't be taken away: it isn't in the list; take away 'xml' as a whole"),
        ("data", "'data' is a reserved name: +data adds pandas, matplotlib"),
        ("+a..b", "'a..b' is not a module's name"),
        ("+class", "'class' is not a module's name"),
        ("+", "'' is not a module's name"),
        ("++pandas", "'+pandas' is not a module's name"),
    ],
)
def test_what_is_wrong_is_told(value: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        modules(value)
    assert words in str(caught.value)
