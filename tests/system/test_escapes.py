"""Every attack in `escapes/`: with no layer, with each layer alone, with all, and with all but one.

The head of an attack's file states what must happen; a line left out means that the layer alone does not stop it:

    danger: a row of the table of dangers
    control: ok                     with no layer: a probe that could not succeed would prove nothing
    landlock: EACCES                that layer alone, and the exact errno or signal
    landlock from ABI 6: EPERM      the same, where Landlock has this ABI; below it holds the line with a lower one, or
                                    the layer alone does not stop it. Any line can be told apart so
    identity@root: EACCES           only where the server is root; `@user` where it is not; `@container` in a container
                                    without namespaces, whose own profile refuses some calls already;
                                    `@tmpfs` where temporary directories, and runs without a tree, are on one;
                                    `@before-6.14` where Linux is older than that
    all: EPERM                      all layers, public rules
    without seccomp: EAGAIN         all layers but the only one that stops it alone, where two others do it together
    admin: ok                       all layers, admin rules; where it differs from `all`
    bare: EPERM                     admin rules with neither a tree nor a uid of its own; where it differs from `admin`
    contained: by what              for an attack that may succeed behind all layers: why it is harmless
    public: yes                     it needs nothing but what public scripts may import: run as one by a real server, too
    machine: x86_64                 it has machine code, for this machine alone
    absent: EACCES                  what the control gives on a kernel that does not offer what it needs, or not without
                                    root's rights, beside `claims.NOT_OFFERED`

Attacks named `policy_…` get around the import policy, which is on for them; they must reach what they want in Python.

What this kernel can't show, because it lacks the call or has an older Landlock, is counted as such and named at the end
of the session. A machine that declares its kernel (EXPECT_LANDLOCK_ABI in CI) must have that ABI at least, and show
everything but the attacks named in EXPECT_ABSENT: there a claim that is not shown is red.
"""

from __future__ import annotations

import errno
import os
from typing import Iterator

import claims as claims_of
import lab
import laboratory as laboratory_of
import pytest
from claims import ESCAPES, SUCCESS, claims
from figures import not_shown, record
from laboratory import (
    HERE,
    Laboratory,
    all_but_one,
    as_expected,
    contained_by_all,
    each_alone,
    expected,
    is_not_offered,
)
from refuse import refuse
from servers import RunningServer
from support import ROOT

DECLARED = os.environ.get("EXPECT_LANDLOCK_ABI")
ABSENT = os.environ.get("EXPECT_ABSENT", "").split()
PUBLIC = [name for name in HERE if "public" in claims(name)]


@pytest.mark.parametrize("name", HERE)
def test_succeeds_without_any_layer(laboratory: Laboratory, name: str) -> None:
    found, absent = laboratory.control(name), is_not_offered(laboratory, name)
    record("attacks")
    record("claims not shown here", 0)
    if absent:
        not_shown(name, "without layers", "the kernel answers %s" % found)
        assert name in ABSENT or not DECLARED, found
    else:
        assert found == expected(claims(name), "control")
        record("of these succeed without a layer", found in SUCCESS)
    assert absent or name not in ABSENT, "EXPECT_ABSENT names what is there"


def _as_after_a_login() -> None:
    """Be started with a revoked session keyring, as what outlives its login is."""
    try:
        lab.call("keyctl", lab.KEYCTL_JOIN_SESSION_KEYRING, None)
        lab.call("keyctl", 3, -3)  # KEYCTL_REVOKE, KEY_SPEC_SESSION_KEYRING
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):  # a container's profile: no keyring is to be had at all
            return
        raise
    with pytest.raises(OSError) as caught:
        lab.call("add_key", b"user", b"x", b"y", 1, -3)
    # Or a profile that lets keyctl pass, as podman's does, and no key be added.
    assert caught.value.errno in (errno.EKEYREVOKED, errno.ENOSYS, errno.EPERM)


@pytest.mark.parametrize("name", [name for name in HERE if "key" in name])
def test_keys_succeed_without_any_layer_after_the_login_has_ended(laboratory: Laboratory, name: str) -> None:
    apart = Laboratory(laboratory.target, _as_after_a_login)
    try:
        assert apart.control(name) == laboratory.control(name)
    finally:
        apart.close()


def test_what_the_kernel_lacks_is_neither_red_nor_green(laboratory: Laboratory) -> None:
    """Behind every layer it is refused even so, since the filter is asked before the kernel."""
    apart = Laboratory(laboratory.target, lambda: refuse(["memfd_secret"], errno.ENOSYS))
    try:
        assert apart.control("secret_memory") == "ENOSYS" and is_not_offered(apart, "secret_memory")
        assert apart.control("session_keyring") == laboratory.control("session_keyring")
        for step in apart.available():
            found = apart.result("secret_memory", (step,))
            assert found == as_expected(apart, "secret_memory", step, apart.landlock_abi(), found)
            assert found == ("EPERM" if step == "seccomp" else "ENOSYS")
        assert not is_not_offered(laboratory, "session_keyring")
    finally:
        apart.close()


class _OffersRootAll:
    """A laboratory in which every attack succeeds without layers."""

    def control(self, name: str) -> str:
        return "ok"


@pytest.mark.parametrize(
    "key,found,word",
    [
        ("identity", "EACCES", "EACCES"),  # as on Debian, where only root has performance counters
        ("without seccomp", "EACCES", "EACCES"),
        ("identity", "EPERM", "ok"),
        ("rlimits", "EACCES", "ok"),
        ("without identity", "EACCES", "ok"),
        ("seccomp", "EACCES", "EPERM"),
        ("all", "EACCES", "EPERM"),
    ],
)
def test_what_root_alone_is_offered_ends_with_roots_rights(
    monkeypatch: pytest.MonkeyPatch, key: str, found: str, word: str
) -> None:
    monkeypatch.setattr(laboratory_of, "KINDS", ["root"])
    assert as_expected(_OffersRootAll(), "performance_counter", key, 6, found) == word  # type: ignore[arg-type]


@pytest.mark.parametrize("name", HERE)
def test_each_layer_alone(laboratory: Laboratory, name: str) -> None:
    record("attack runs behind one layer", each_alone(laboratory, name))
    abi = laboratory.landlock_abi()
    for needed in claims_of.steps(claims(name), "landlock"):
        if 0 < abi < needed:
            not_shown(name, "landlock alone", "it needs Landlock ABI %d" % needed)
            assert not DECLARED


@pytest.mark.parametrize("name", HERE)
def test_older_landlock_alone(laboratory: Laboratory, name: str) -> None:
    found = {abi: laboratory.result(name, ("landlock",), abi=abi) for abi in laboratory.older_abis()}
    assert found == {abi: as_expected(laboratory, name, "landlock", abi, found[abi]) for abi in found}
    record("attack runs behind an older Landlock", len(found))


@pytest.mark.parametrize("name", HERE)
def test_contained_by_all_layers(laboratory: Laboratory, name: str) -> None:
    """Whether or not the kernel offers what is attacked: the layers answer before that is known."""
    for abi in [None] + laboratory.older_abis():  # type: ignore[operator]
        contained_by_all(laboratory, name, abi)


@pytest.mark.parametrize("name", HERE)
def test_admins_with_neither_a_tree_nor_a_uid_of_their_own(laboratory: Laboratory, name: str) -> None:
    """What Landlock doesn't look at is the filter's to hold there. Run as root the attack has root's own rights."""
    head = claims(name)
    for abi in [None] + laboratory.older_abis():
        reached = abi or laboratory.landlock_abi()
        found = laboratory.result(name, ("rlimits", "landlock", "seccomp"), admin=True, abi=abi)
        assert not found.startswith("other"), found
        if "bare" in head:
            assert found == as_expected(laboratory, name, "bare", reached, found), abi
        if found in SUCCESS:
            assert "ok" in (expected(head, "bare", reached), expected(head, "admin", reached)), (abi, found)
            assert head["contained"], found
        record("attack runs of admins without tree and uid")


@pytest.mark.parametrize("name", HERE)
def test_all_layers_but_one(laboratory: Laboratory, name: str) -> None:
    all_but_one(laboratory, name, None)


_FRAME = """
target = %r
try:
    attack(target)
except OSError as error:
    print(error.errno)
"""


@pytest.fixture(scope="session")
def long_scripts(laboratory: Laboratory) -> Iterator[RunningServer]:
    """A server that takes scripts as long as attacks are."""
    running = RunningServer(
        {"code_chars": 20000, "rate_per_minute": 10000, "rate_per_day": 10000, "work_dir": laboratory.target["base"]}
    )
    yield running
    assert running.stop() == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_contained_as_a_public_script(laboratory: Laboratory, long_scripts: RunningServer, name: str) -> None:
    with open(os.path.join(ESCAPES, name + ".py"), encoding="utf-8") as file:
        source = file.read()
    with open(os.path.join(ROOT, "tests", "tools", "corruption.py"), encoding="utf-8") as file:
        source = source.replace("from corruption import system_call\n", file.read())
    target = {key: value for key, value in laboratory.target.items() if key != "budget"}
    result = long_scripts.client.execute(source + _FRAME % dict(target, word_fd=1))
    word = result.stdout.strip()
    assert (errno.errorcode.get(int(word), word) if word.isdigit() else word) == expected(claims(name), "all"), result
    record("attacks as public scripts, contained")
