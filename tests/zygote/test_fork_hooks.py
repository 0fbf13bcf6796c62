"""The standard library's fork hooks: out of a zygote's forks, and back for the forks of its children."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support import ROOT

# Each is a process of its own: what a process has registered stays. It says what happened as JSON.
_BEGIN = f"""
import json, os, sys
sys.path.insert(0, {ROOT!r})
import logging, random, threading
from pyexec.zygote import fork_hooks
told = []

def in_a_child(what):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, json.dumps(what()).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    return json.loads(open(read).read())

def after_fork():
    told.append("after")

os.register_at_fork(after_in_child=after_fork)
before = fork_hooks._find_lists()
whole = [list(each) for each in before]

def module_of(hook):
    owner = getattr(hook, "__self__", None)
    return "logging" if owner is logging._lock else getattr(hook, "__module__", "")

def modules(lists):
    return sorted({{module_of(hook) for hooks in lists for hook in hooks}} & {{"threading", "logging"}})

def a_thread_logs():
    # In another thread: the lock of `logging` lets the thread that holds it through.
    done = []
    def take():
        done.append(logging._lock.acquire(timeout=5))
        logging._lock.release()
    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(10)
    return done

put_back = fork_hooks.withhold()
"""


def _told(code: str) -> object:
    output = subprocess.run(
        [sys.executable, "-c", _BEGIN + code], stdout=subprocess.PIPE, timeout=60, check=True
    ).stdout
    return json.loads(output)


def test_a_zygote_forks_without_them_and_with_those_of_others() -> None:
    assert _told("print(json.dumps([modules(whole), modules(before)]))") == [["logging", "threading"], []]
    assert _told("print(json.dumps(in_a_child(lambda: told)))") == ["after"]


def test_children_draw_other_numbers_as_random_reseeds_itself() -> None:
    drawn = _told("print(json.dumps([in_a_child(random.random) for _ in range(3)]))")
    assert isinstance(drawn, list) and len(set(drawn)) == 3


def test_no_lock_is_held_in_a_child_or_after_a_fork() -> None:
    assert _told("print(json.dumps([in_a_child(a_thread_logs), a_thread_logs()]))") == [[True], [True]]


def test_a_child_that_forks_has_them_all_again() -> None:
    code = """
def child():
    put_back()
    first = in_a_child(lambda: [modules(before), threading.active_count(), a_thread_logs()])
    return first, [list(map(str, each)) for each in before] == [list(map(str, each)) for each in whole], a_thread_logs()
print(json.dumps(in_a_child(child)))
"""
    assert _told(code) == [[["logging", "threading"], 1, [True]], True, [True]]


def test_a_fork_in_a_child_forgets_the_threads_of_its_parent() -> None:
    """Which is what the hook of `threading` is for: without it, it would count them and wait for them at the end."""
    code = """
def child():
    put_back()
    wait = threading.Event()
    threading.Thread(target=wait.wait, daemon=True).start()
    found = in_a_child(threading.active_count), threading.active_count()
    wait.set()
    return found
print(json.dumps(in_a_child(child)))
"""
    assert _told(code) == [1, 2]


def test_a_hook_that_a_script_registers_stays_when_they_come_back() -> None:
    code = """
def child():
    put_back()
    os.register_at_fork(after_in_child=lambda: told.append("the script's"))
    return in_a_child(lambda: told)
print(json.dumps(in_a_child(child)))
"""
    assert _told(code) == ["after", "after", "the script's"]


def test_lists_that_are_not_found_leave_everything_as_it_is() -> None:
    code = """
import gc
gc.get_referrers = lambda *objects: []
fork_hooks.withhold()()
print(json.dumps(fork_hooks._find_lists()))
"""
    assert _told(code) is None


@pytest.mark.parametrize("who", ["client", "admin"])
def test_a_script_finds_its_main_thread_alive_and_alone(server, who: str) -> None:
    code = "import threading as t\nprint(t.active_count(), t.main_thread().native_id == t.get_native_id())"
    assert getattr(server, who).execute(code).stdout == "1 True\n"
