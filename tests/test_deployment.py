"""The files of deploy/ and render.yaml: their settings exist, and what they give a node is what the formula says.

Their own tools check them in tests/prove/test_deployment_tools.py, and tests/prove/systemd runs the unit.
"""

from __future__ import annotations

import argparse
import base64
import io
import ipaddress
import os
import re
from typing import Any, Dict, List

import manifests
import memory
import pytest
from PIL import Image
from support import ROOT, in_threads

from pyexec import config_sources
from pyexec.client import ServiceError
from pyexec.config import Config

MIB = 1 << 20
INSTANCE_BYTES = 512 * 1000 * 1000  # of Render's smallest, read the narrower way


def _text(name: str) -> str:
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def _of_render() -> Dict[str, str]:
    found = re.findall(r"- key: (\w+).*\n +value: \"?([^\"\n]+)", _text("render.yaml"))
    return {name: value for name, value in found}


def _of_compose() -> Dict[str, str]:
    block = _text("deploy/compose.yaml").split("environment:\n")[1].split("networks:")[0]
    found = dict(re.findall(r"^ +(\w+): (.*)$", block, re.MULTILINE))
    return {name: re.sub(r"\$\{NAME:-(\w+)\}", r"\1", value) for name, value in found.items()}


def _config(environment: Dict[str, str]) -> Config:
    return config_sources.from_sources(argparse.Namespace(), environment)


def _mib_of_a_node(config: Config) -> int:
    """Return what docs/deployment.md says that a node needs, by the formula as it stands there."""
    (formula,) = re.findall(r"```text\nmemory of a node =(.*?)\n```", _text("docs/deployment.md"), re.DOTALL)
    code = re.sub(r"(\d+) MiB", r"(\1 * 1048576)", " ".join(formula.split())).replace("×", "*")
    names = {name: getattr(config, name) for name in re.findall(r"[a-z_]+", code)}
    return -int(-eval(code, {"__builtins__": {}}, names) // MIB)


def test_the_settings_for_render_exist_and_trust_its_router_alone() -> None:
    config = _config(dict(_of_render(), PORT="10000"))
    assert (config.host, config.port, config.max_runs, config.client_header) == (
        "0.0.0.0",
        10000,
        2,
        "CF-Connecting-IP",
    )
    assert [str(network) for network in config.trusted_proxies] == ["10.0.0.0/8"]
    assert config.memory_bytes == 128 * MIB


def test_the_settings_for_compose_exist_and_trust_caddy_alone() -> None:
    config = _config(_of_compose())
    assert [str(network) for network in config.trusted_proxies] == ["172.30.5.2/32"]
    assert config.allowed_hosts == ("localhost",)


def test_compose_gives_a_node_what_the_formula_says() -> None:
    (limit,) = re.findall(r"mem_limit: (\d+)m", _text("deploy/compose.yaml"))
    assert int(limit) == _mib_of_a_node(_config(_of_compose()))


def _of_kubernetes() -> Dict[str, str]:
    """Return the settings of the node's manifest, as variables."""
    block = _text("deploy/kubernetes/pyexec.yaml").split("args:\n")[1].split("env:\n")[0]
    found = re.findall(r"^ +- --([a-z-]+)=([^#\n]*)", block, re.MULTILINE)
    return {"PYEXEC_" + name.replace("-", "_").upper(): value.strip() for name, value in found}


def test_kubernetes_gives_a_node_what_the_formula_says() -> None:
    given = _of_kubernetes()
    (limit,) = re.findall(r"limits: \{memory: (\d+)Mi\}", _text("deploy/kubernetes/pyexec.yaml"))
    assert int(limit) == _mib_of_a_node(Config.of(max_runs=given["PYEXEC_MAX_RUNS"]))


def test_the_balancer_and_the_nodes_agree_on_slots_and_queue() -> None:
    given, balancer = _of_kubernetes(), _text("deploy/haproxy.cfg")
    (slots,) = re.findall(r"default-server check .* maxconn (\d+)", balancer)
    node = _nodes_as_documented()[-1]
    for name in ("MAX_RUNS", "QUEUE", "QUEUE_PER_ADDRESS", "QUEUE_S", "DRAIN_S", "CHARGE_ONCE"):
        assert given["PYEXEC_" + name] == node["PYEXEC_" + name], name
    assert given["PYEXEC_MAX_RUNS"] == slots and given["PYEXEC_QUEUE_PER_ADDRESS"] == given["PYEXEC_QUEUE"]
    (sent,) = set(re.findall(r"track runs/n\d maxconn (\d+)", balancer))
    assert int(slots) < int(sent)
    # All that two balancers send at once, of which the node runs some.
    assert int(given["PYEXEC_QUEUE"]) == 2 * (int(slots) + int(sent))


def test_the_store_is_as_large_in_kubernetes_as_on_a_machine() -> None:
    """And its memory limit leaves it as much again."""
    manifest = _text("deploy/kubernetes/valkey.yaml")
    (page,) = re.findall(r"^maxmemory (\w+)$", _text("docs/deployment.md"), re.MULTILINE)
    assert re.findall(r"--maxmemory\n +- (\w+)", manifest) == [page] == ["1gb"]
    assert "limits: {memory: 2Gi}" in manifest


def test_the_page_makes_the_secrets_that_the_manifests_name() -> None:
    """Once their namespace is there, and before anything that needs them."""
    (commands,) = re.findall(r"```sh\n(kubectl apply .*?)```", _text("docs/deployment.md"), re.DOTALL)
    steps = re.findall(r"^kubectl (?:-n pyexec )?(apply -f \S+|create secret generic \S+)", commands, re.MULTILINE)
    assert steps[0] == "apply -f deploy/kubernetes/00-namespace.yaml" and steps[-1] == "apply -f deploy/kubernetes/"
    manifests_text = _text("deploy/kubernetes/pyexec.yaml") + _text("deploy/kubernetes/valkey.yaml")
    named = set(re.findall(r"(?:secretKeyRef: \{name: |secretName: )([\w-]+)", manifests_text))
    assert {step.split()[-1] for step in steps[1:-1]} == named
    for key in re.findall(r"(?:, |\{)key: ([\w-]+)", manifests_text):
        assert re.search(r"--from-(literal|file)=%s\b" % key, commands), key


def test_the_namespace_comes_before_what_is_in_it() -> None:
    """`kubectl apply -f DIRECTORY` goes by file name, and refuses what is in a namespace that isn't there yet."""
    names = sorted(os.listdir(os.path.join(ROOT, "deploy", "kubernetes")))
    documents = [text for name in names for text in _text("deploy/kubernetes/" + name).split("\n---\n")]
    kinds = [re.findall(r"^kind: (\w+)$", text, re.MULTILINE) for text in documents]
    assert kinds[0] == ["Namespace"] and ["Namespace"] not in kinds[1:]
    inside = [re.findall(r"^  namespace: (\w+)$", text, re.MULTILINE) for text in documents[1:]]
    assert set(map(tuple, inside)) == {("pyexec",)}


# ---- Nodes on several machines ----


def _flags(command: str) -> Dict[str, str]:
    """Return the settings of a documented command, as variables."""
    found = re.findall(r" --([a-z-]+) (\S+)", command.replace("`", " "))
    return {"PYEXEC_" + name.replace("-", "_").upper(): value.rstrip(".,") for name, value in found}


def _nodes_as_documented() -> List[Dict[str, str]]:
    page = _text("docs/deployment.md").split("## Several nodes")[1].replace(" \\\n   ", "")
    (command,) = re.findall(r"```sh\n(python -m pyexec .*)\n```", page)
    (environment,) = re.findall(r"```ini\n(PYEXEC_HOST=.*?)```", page, re.DOTALL)
    (in_head,) = re.findall(r"`(python -m pyexec .*?)`", _text("deploy/haproxy.cfg").replace("\n# ", " "))
    return [_flags(command), dict(re.findall(r"^(\w+)=(.*)$", environment, re.MULTILINE)), _flags(in_head)]


def test_a_documented_node_can_be_reached_by_its_balancer() -> None:
    """Not on the loopback, where a node listens unless it is told otherwise, but where haproxy.cfg looks for it."""
    first, *others = _nodes_as_documented()
    assert all(other == first for other in others)
    config = _config(first)
    assert not ipaddress.ip_address(config.host).is_loopback
    found = re.findall(r"^ +server n1 (\S+)", _text("deploy/haproxy.cfg"), re.MULTILINE)
    assert set(found) == {"%s:%d" % (config.host, config.port)}
    assert [str(network) for network in config.trusted_proxies] == ["10.0.0.2/32"]


def test_a_node_has_the_time_to_end_its_runs() -> None:
    """Before systemd or Kubernetes kill it: draining, the queue, a run, and five seconds for that run to end."""
    (unit,) = re.findall(r"^TimeoutStopSec=(\d+)$", _text("deploy/pyexec.service"), re.MULTILINE)
    (pod,) = re.findall(r"terminationGracePeriodSeconds: (\d+)", _text("deploy/kubernetes/pyexec.yaml"))
    for given, seconds in ((_nodes_as_documented()[0], unit), (_of_kubernetes(), pod)):
        config = _config(given)
        assert config.drain_s + config.queue_s + config.budget.wall_s + 5 < int(seconds)


def test_the_manifest_has_the_configuration_of_deploy() -> None:
    """Made by `python tests/tools/manifests.py`."""
    assert manifests.manifest() == _text("deploy/kubernetes/haproxy.yaml")


def test_the_page_has_the_formula_worked_out() -> None:
    page = " ".join(_text("docs/deployment.md").split())
    assert "%d MiB at the defaults" % _mib_of_a_node(Config.of()) in page
    assert "%d MiB with the settings of `render.yaml`" % _mib_of_a_node(_config(_of_render())) in page


def test_the_image_is_made_of_what_is_not_ignored() -> None:
    """Everything that the Containerfile copies is let through by .dockerignore, and by one line each."""
    ignore = _text(".dockerignore").splitlines()
    assert ignore[1] == "*"
    let_through = {line[1:] for line in ignore if line.startswith("!")}
    copied: List[str] = []
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", _text("Containerfile"), re.MULTILINE):
        copied += ["requirements/*.txt" if word.startswith("requirements/") else word for word in line.split()]
    assert set(copied) == let_through


def test_the_image_runs_as_nobody_whatever_the_target() -> None:
    code = re.sub(r"^#.*\n", "", _text("Containerfile"), flags=re.MULTILINE)
    stages = re.split(r"^FROM ", code, flags=re.MULTILINE)[1:]
    served = [stage for stage in stages if "COPY --from=" in stage]
    assert len(served) == 2 and all(stage.rstrip().endswith("USER 64100:64100") for stage in served)


# ---- What Render's smallest instance holds ----


@pytest.fixture
def on_render(start_server) -> Any:
    """A server as render.yaml has it, alone in 512 MB where a memory cgroup can be made."""
    environment = dict(_of_render(), PORT="0")
    with memory.counted() as counter:
        running = start_server(counter.wrapper, environment, rate_per_minute=1000, rate_per_day=1000)
        if counter.exact:
            counter.limit(INSTANCE_BYTES)
        yield running, counter
        if counter.exact:
            counter.limit(-1)
        running.stop()  # or its cgroup would stay


def test_a_photo_is_converted_in_128_mib(on_render) -> None:
    running, _ = on_render
    photo = io.BytesIO()
    Image.effect_noise((2000, 1500), 50).convert("RGB").save(photo, "JPEG")
    result = running.client.execute(
        "from PIL import Image\nImage.open('input_photo.jpg').convert('L').save('output_grayscale.png')",
        attachments={"input_photo.jpg": photo.getvalue()},
        return_files=["output_grayscale.png"],
    )
    assert result.success, result.stderr
    assert Image.open(io.BytesIO(result.files["output_grayscale.png"])).mode == "L"


def test_runs_that_take_all_that_they_may_end_and_the_server_goes_on(on_render) -> None:
    """Both slots at once, five times over: memory, output and files."""
    running, counter = on_render
    greedy = [
        "held = []\nwhile True:\n    held.append(bytearray(1 << 20))",
        "open('a', 'wb').write(bytes(30 << 20))\nheld = bytearray(100 << 20)\nprint('x' * (3 << 20))",
    ]

    def work(place: int) -> None:
        for _ in range(5):
            try:
                running.client.execute(greedy[place % 2])
            except ServiceError as error:
                assert error.type in ("ResourceLimitError", "ServerBusy"), error

    results = in_threads(2, work)
    assert not [result for result in results if isinstance(result, Exception)], results
    assert running.client.execute("print(6 * 7)").stdout == "42\n"
    if counter.exact:
        assert counter.killed() == 0


def test_bodies_fit_into_their_budget_there(on_render) -> None:
    running, _ = on_render
    content = base64.b64encode(bytes(8 * MIB))
    assert len(content) * 2 < _config(_of_render()).bodies_bytes
    result = running.client.execute("print(1)", attachments={"a": bytes(8 * MIB), "b": bytes(8 * MIB)})
    assert result.stdout == "1\n"
