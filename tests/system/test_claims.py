"""The tables of claims: none out of date, none without an attack, no layer named against a danger that it never stops."""

from __future__ import annotations

import claims
import pytest

from pyexec.kernel import layers

# The layers as `doctor` names them → the steps that the attacks try one by one.
STEPS = {
    "seccomp": "seccomp",
    "landlock": "landlock",
    "mount_namespace": "namespaces",
    "network_namespace": "namespaces",
    "pid_namespace": "namespaces",
    "ipc_namespace": "namespaces",
    "own_uid": "identity",
    "no_capabilities": "identity",
    "no_new_privs": "identity",
    "rlimits": "rlimits",
}
# Not a step of the kernel's that could be left out: what stops it is what the nursery is started with.
ELSEWHERE = {"clean_environment": "test_end_to_end.py and test_neighbours.py"}


def test_readme_has_the_table_of_now() -> None:
    with open(claims.README, encoding="utf-8") as file:
        readme = file.read()
    assert readme == claims.with_table(readme), "run: python tests/tools/claims.py"


def test_page_is_that_of_now() -> None:
    with open(claims.PAGE, encoding="utf-8") as file:
        assert file.read() == claims.page(), "run: python tests/tools/claims.py"


def test_every_danger_has_attacks_and_every_attack_a_danger() -> None:
    assert set(claims.by_danger()) == {danger.name for danger in layers.DANGERS}
    assert all(len(attacks) >= 2 for attacks in claims.by_danger().values())
    assert len(claims.ATTACKS) >= 100


@pytest.mark.parametrize("danger", layers.DANGERS, ids=lambda danger: danger.name)
def test_each_layer_that_is_named_against_a_danger_stops_an_attack_of_it(danger: layers.Danger) -> None:
    """From Landlock's first ABI on: that a host has it at all is what the floor asks for."""
    attacks = [head for _, head in claims.by_danger()[danger.name]]
    for layer in danger.stopped_by:
        assert layer in ELSEWHERE or any(claims.stops_alone(head, STEPS[layer], abi=1) for head in attacks), layer


@pytest.mark.parametrize("name", claims.ATTACKS)
def test_no_head_has_a_word_that_nobody_reads(name: str) -> None:
    """A misspelled line would silently claim nothing."""
    head = claims.claims(name)
    keys = {
        "claim",
        "danger",
        "control",
        "all",
        "admin",
        "contained",
        "public",
        "machine",
        "why",
        "absent",
        "bare",
    } | set(claims.LAYERS)
    kinds = {"root", "user", "container", "container-root", "container-user", "tmpfs", "before-6.14"}
    for line in head:
        plain, _, abi = line.partition(claims.FROM)
        key, _, kind = plain.partition("@")
        assert not abi or 2 <= int(abi) <= 7, line
        assert key.replace("without ", "") in keys and (not kind or kind in kinds), line
    alone = any(claims.stops_alone(head, layer) for layer in claims.LAYERS)
    assert alone or head["contained"], "no layer stops it alone, and it isn't said why that does no harm"


HEAD = {
    "claim": "…",
    "landlock": "EXDEV",
    "landlock from ABI 3": "EACCES",
    "landlock@user from ABI 6": "EPERM",
    "seccomp": "EPERM",
    "absent": "EACCES EINVAL",
}


@pytest.mark.parametrize(
    "key,kinds,abi,word",
    [
        ("landlock", ["root"], 1, "EXDEV"),
        ("landlock", ["root"], 2, "EXDEV"),
        ("landlock", ["root"], 3, "EACCES"),
        ("landlock", ["root"], 9, "EACCES"),
        ("landlock", ["user"], 5, "EACCES"),  # a line for this kind that isn't reached says nothing
        ("landlock", ["user"], 6, "EPERM"),
        ("seccomp", ["root"], 1, "EPERM"),
        ("rlimits", ["root"], 1, "ok"),
    ],
)
def test_of_lines_for_several_abis_the_last_that_is_reached_holds(key, kinds, abi, word) -> None:
    assert claims.expected(HEAD, key, kinds, abi) == word


@pytest.mark.parametrize("word", ["ENOSYS", "EAFNOSUPPORT", "ENOPROTOOPT", "EACCES", "EINVAL"])
def test_a_control_that_the_kernel_does_not_offer(word: str) -> None:
    assert claims.not_offered(HEAD, word)


@pytest.mark.parametrize("word", ["ok", "EPERM", "EFAULT", "other: it broke", "SIGSYS"])
def test_a_control_that_failed_for_another_reason(word: str) -> None:
    assert not claims.not_offered(HEAD, word)


def test_a_layer_counts_from_the_abi_on_from_which_it_stops() -> None:
    assert not claims.stops_alone({"landlock from ABI 6": "EPERM"}, "landlock", 5)
    assert claims.stops_alone({"landlock from ABI 6": "EPERM"}, "landlock", 6)


def test_a_readme_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        claims.with_table("no table here")
