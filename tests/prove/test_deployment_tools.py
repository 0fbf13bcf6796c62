"""The files of deploy/, each checked by the tool that it is for, and the store that docs/deployment.md sets up.

Debian: docker-compose, haproxy, redis-server, systemd.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any, Dict, List

import manifests
import pytest
import redis
import yaml
from processes import await_that
from redis_servers import free_port
from support import ROOT

from pyexec.accounts import Allowance, Now
from pyexec.quota_store.redis import Shared

DEPLOY = os.path.join(ROOT, "deploy")
BIN = os.path.dirname(sys.executable)
MOST_EXPOSED = 4.2  # by `systemd-analyze security`; what is left is what would weaken the sandbox, and the network


def _text(name: str) -> str:
    with open(os.path.join(DEPLOY, name), encoding="utf-8") as file:
        return file.read()


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        env=dict(os.environ, **environment),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_unit_is_valid(tmp_path) -> None:
    """With what it starts in place, under another root; every key is known, and nothing is said."""
    python = tmp_path / "opt/pyexec/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    with open(os.path.join(DEPLOY, "pyexec.service"), encoding="utf-8") as file:
        (units / "pyexec.service").write_text(file.read())
    for name in ("sysinit", "basic", "multi-user", "shutdown", "network-online"):
        (units / (name + ".target")).write_text("[Unit]\n")
    (units / "system.slice").write_text("[Unit]\n")
    said = _run("systemd-analyze", "verify", "--root=" + str(tmp_path), "--man=no", "pyexec.service")
    assert "pyexec.service" not in said, said


def test_the_unit_gives_away_little() -> None:
    said = _run("systemd-analyze", "security", "--offline=true", os.path.join(DEPLOY, "pyexec.service"))
    found = re.search(r"Overall exposure level for pyexec.service: ([0-9.]+)", said)
    assert found and float(found.group(1)) <= MOST_EXPOSED, said


def test_the_file_for_render_has_what_its_specification_knows() -> None:
    """Render's own tool needs an account."""
    (service,) = yaml.safe_load(_text("../render.yaml"))["services"]
    variables = service.pop("envVars")
    assert service == {
        "type": "web",
        "name": "pyexec",
        "runtime": "docker",
        "dockerfilePath": "./Containerfile",
        "plan": "free",
        "healthCheckPath": "/health",
    }
    assert all(set(each) in ({"key", "value"}, {"key", "generateValue"}) for each in variables)
    assert all(isinstance(each.get("value", ""), str) for each in variables)


def test_compose_is_valid() -> None:
    path = os.path.join(DEPLOY, "compose.yaml")
    shown = _run("docker-compose", "-f", path, "config", NAME="pyexec.example.org", PYTHON_EXE_KEY="k")
    assert "PYEXEC_ALLOWED_HOSTS: pyexec.example.org" in shown and "PYTHON_EXE_KEY: k" in shown
    _run(os.path.join(BIN, "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", path)


def test_haproxy_takes_its_configuration(tmp_path) -> None:
    """Both as it is and as it is for Kubernetes, and without a warning."""
    for number, text in enumerate((_text("haproxy.cfg"), manifests.configuration())):
        path = tmp_path / ("%d.cfg" % number)
        path.write_text(text)
        said = _run("haproxy", "-c", "-f", str(path))
        assert "WARNING" not in said and "Configuration file is valid" in said, said


MANIFESTS = sorted(os.listdir(os.path.join(DEPLOY, "kubernetes")))


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_valid(name: str) -> None:
    path = os.path.join(DEPLOY, "kubernetes", name)
    _run(os.path.join(BIN, "kubernetes-validate"), "--strict", "-k", "1.33", path)
    _run(os.path.join(BIN, "kubernetes-validate"), "--strict", path)


def _pods() -> List[Any]:
    found = []
    for name in MANIFESTS:
        for document in yaml.safe_load_all(_text("kubernetes/" + name)):
            if document["kind"] == "Deployment":
                found.append(document["spec"]["template"]["spec"])
    return found


def test_every_pod_is_restricted() -> None:
    """By the rules of the Pod Security Standard, which the namespace enforces; an API server would check them."""
    pods = _pods()
    assert len(pods) == 3
    for pod in pods:
        security = pod["securityContext"]
        assert pod["hostUsers"] is False and pod["automountServiceAccountToken"] is False
        assert security["runAsNonRoot"] and security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all(set(volume) - {"name"} <= {"emptyDir", "configMap", "secret"} for volume in pod["volumes"])
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "hostPort" not in str(container["ports"])


def test_every_pod_has_a_network_policy_and_every_replicated_one_a_budget() -> None:
    kinds: Dict[str, List[str]] = {}
    for name in MANIFESTS:
        for document in yaml.safe_load_all(_text("kubernetes/" + name)):
            kinds.setdefault(document["kind"], []).append(document["metadata"]["name"])
    assert sorted(kinds["NetworkPolicy"]) == sorted(kinds["Deployment"]) == ["haproxy", "pyexec", "valkey"]
    assert sorted(kinds["PodDisruptionBudget"]) == ["haproxy", "pyexec"]
    assert kinds["Namespace"] == ["pyexec"]


def test_the_store_that_the_page_sets_up_counts_for_who_has_its_password(tmp_path) -> None:
    """The page's lines behind Debian's own, and its URL; but for the address, and what starts it."""
    with open(os.path.join(ROOT, "docs", "deployment.md"), encoding="utf-8") as file:
        page = file.read()
    (added,) = re.findall(r"redis.conf <<'END'\n(.*?)END\n", page, re.DOTALL)
    (url,) = re.findall(r"^PYEXEC_LIMITS_URL=(.*)$", page, re.MULTILINE)
    with open("/etc/redis/redis.conf", encoding="utf-8") as file:
        text = file.read() + added.replace("10.0.0.2", "127.0.0.9")
    port = free_port()
    configuration = tmp_path / "redis.conf"
    configuration.write_text(f'{text}port {port}\ndaemonize no\ndir {tmp_path}\nlogfile ""\npidfile ""\n')
    process = subprocess.Popen(["redis-server", str(configuration)], stdout=subprocess.DEVNULL)
    try:
        reached = url.replace("10.0.0.2:6379", f"127.0.0.9:{port}")
        store = Shared(reached, 10)
        await_that(lambda: store.charge("192.0.2.1", Allowance(100000, 100000), Now.read()).shared)
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis.from_url(reached.replace("PASSWORD", "another")).ping()
        found = redis.Redis.from_url(reached).config_get("maxmemory*")
        assert (found["maxmemory"], found["maxmemory-policy"]) == (str(1 << 30), "volatile-lru")
    finally:
        process.kill()
        process.wait()
