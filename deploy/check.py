#!/usr/bin/env python3
"""Checks the files of this folder: syntax, schemas, and that what they name exists in the service.

    python3 deploy/check.py [--url http://127.0.0.1:8080 [--key KEY]] [--require-all]

Names of metrics, settings, outcomes and addresses are compared with the sources, and with --url those of metrics with a server that runs. Without a
tool (requirements.txt has those of the Python package index; promtool is in Debian's package prometheus, systemd-analyze in systemd) its check is
named as not made; with --require-all that is an error. The last line counts. Needs Python 3.11 or later, no network and no Rust.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
# Programs of a virtual environment are found beside its Python.
PATH = f"{pathlib.Path(sys.executable).parent}:{os.environ.get('PATH', '')}"


class NotMade(Exception):
    """A check whose tool is not there."""


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def must(condition, message):
    if not condition:
        raise AssertionError(message)


def same(found, expected, what):
    missing, unknown = sorted(expected - found), sorted(found - expected)
    must(not missing and not unknown, f"{what}: missing {missing}, unknown {unknown}")


def module(name):
    try:
        return __import__(name)
    except ImportError:
        raise NotMade(f"the Python package {name} is not installed") from None


def tool(*command):
    program = shutil.which(command[0], path=PATH)
    if program is None:
        raise NotMade(f"{command[0]} is not installed")
    done = subprocess.run([program, *map(str, command[1:])], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    must(done.returncode == 0, f"{command[0]}:\n{done.stdout}")
    return done.stdout


# What the sources say.

def families():
    """The metrics: {name: type}, by the calls that register them."""
    text = read("server/src/metrics.rs")
    found = {name: "counter" for name in re.findall(r'registry\.register\(\s*"(\w+)"|counter\(\s*&mut registry,\s*"(\w+)"', text) for name in name if name}
    found |= {f"{name}_seconds": "histogram" for name in re.findall(r'register_with_unit\(\s*"(\w+)"[^;]*Unit::Seconds', text)}
    found |= {name: "gauge" for name in re.findall(r'gauge\(\s*&mut registry,\s*"(\w+)"', text)}
    must(len(found) > 15, f"server/src/metrics.rs: only {len(found)} metrics were found")
    return {f"mempack_{name}": kind for name, kind in found.items()}


def series(families):
    """The names of samples."""
    ends = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {name + end for name, kind in families.items() for end in ends[kind]}


def settings():
    """The names that a file of settings may have."""
    fields = read("src/cmd/serve.rs").split("struct Settings {")[1].split("\n}")[0]
    return {name.replace("_", "-") for name in re.findall(r"^    (\w+): ", fields, re.M)}


def codes():
    """The codes of errors."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "server/src").rglob("*.rs"))
    calls = re.findall(r'(?:not_found|conflict)\(\s*"(\w+)"|StatusCode::\w+,\s*"(\w+)"|code: "(\w+)"', source)
    return {name for call in calls for name in call if name}


def outcomes():
    """How requests end, in metrics."""
    return codes() | {"ok", "cancelled"} | set(re.findall(r'Self::\w+(?: \{ \.\. \})? => "(\w+)"', read("server/keys/src/access.rs")))


def routes():
    return set(re.findall(r'\.route(?:_service)?\("([^"]+)"', read("server/src/app.rs")))


# What the files say.

def dashboard():
    return json.loads((HERE / "grafana/mempack.json").read_text(encoding="utf-8"))


def rules():
    return module("yaml").safe_load((HERE / "prometheus/alerts.yml").read_text(encoding="utf-8"))


def kubernetes():
    return list(module("yaml").safe_load_all((HERE / "kubernetes/mempack.yaml").read_text(encoding="utf-8")))


def expressions():
    """All expressions over metrics: (where, expression), variables of Grafana replaced by values."""
    board = dashboard()
    found = [(f"grafana: {panel['title']}", target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]
    found += [(f"alert: {rule['alert']}", rule["expr"]) for group in rules()["groups"] for rule in group["rules"]]
    for name, value in (("$__rate_interval", "5m"), ("$__range", "1h"), ("$job", ".*"), ("$instance", ".*")):
        found = [(where, text.replace(name, value)) for where, text in found]
    return found


# The checks.

def check_metrics_of_expressions(_):
    known = series(families()) | {"up"}
    for where, text in expressions():
        for name in re.findall(r"\bmempack_\w+", text):
            must(name in known, f"{where}: there is no metric {name}")
    for variable in dashboard()["templating"]["list"]:
        for name in re.findall(r"\bmempack_\w+", variable.get("definition", "")):
            must(name in known, f"grafana: variable {variable['name']}: there is no metric {name}")
    for name in re.findall(r"\bmempack_\w+", (HERE / "prometheus/alerts_test.yml").read_text(encoding="utf-8")):
        must(name in known, f"alerts_test.yml: there is no metric {name}")


def check_labels_of_expressions(_):
    for where, text in expressions():
        for label, _, values in re.findall(r'\b(outcome|endpoint)(=~|=|!=)"([^"]*)"', text):
            if label == "outcome":
                unknown = set(values.split("|")) - outcomes()
                must(not unknown, f"{where}: no request ends with {sorted(unknown)}")
            else:
                must(any(re.fullmatch(values, route) for route in routes()), f"{where}: no address is {values}")


def check_expressions(_):
    parser = module("promql_parser")
    for where, text in expressions():
        try:
            parser.parse(text)
        except Exception as error:
            raise AssertionError(f"{where}: {error}") from None


def check_dashboard(_):
    panels = dashboard()["panels"]
    ids = [panel["id"] for panel in panels]
    must(len(set(ids)) == len(ids), "grafana: two panels have one id")
    places = {}
    for panel in panels:
        at = panel["gridPos"]
        must(at["x"] + at["w"] <= 24, f"grafana: {panel['title']} is too wide")
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            must(cell not in places, f"grafana: {panel['title']} lies over {places.get(cell)}")
            places[cell] = panel["title"]
    shown = {name for _, text in expressions() for name in re.findall(r"\bmempack_\w+", text)}
    unseen = {name for name in families() if not any(other.startswith(name) for other in shown)}
    must(not unseen, f"grafana: nothing shows {sorted(unseen)}")


def check_live_metrics(options):
    if options.url is None:
        raise NotMade("no --url names a server")
    request = urllib.request.Request(f"{options.url}/metrics", headers={"Authorization": f"Bearer {options.key}"} if options.key else {})
    with urllib.request.urlopen(request, timeout=30) as response:
        must("openmetrics-text" in response.headers["Content-Type"], response.headers["Content-Type"])
        text = response.read().decode()
    live = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    # A family without samples is not shown: requests before the first one has ended.
    expected = families()
    must(live.keys() <= expected.keys(), f"the server has metrics that the sources do not name: {sorted(live.keys() - expected.keys())}")
    missing = expected.keys() - live.keys() - {"mempack_requests"}
    must(not missing, f"the server lacks {sorted(missing)}")
    must(all(expected[name] == kind for name, kind in live.items()), f"types differ: {live}")
    samples = set(re.findall(r"^(mempack_\w+)", text, re.M))
    must(samples <= series(expected), f"samples of unknown names: {sorted(samples - series(expected))}")


def check_alerts(_):
    tool("promtool", "check", "rules", HERE / "prometheus/alerts.yml")
    tool("promtool", "test", "rules", HERE / "prometheus/alerts_test.yml")
    tool("promtool", "check", "config", "--syntax-only", HERE / "prometheus/prometheus.yml")


def check_settings(_):
    text = (HERE / "mempack.toml").read_text(encoding="utf-8")
    # Also those that are commented out must be right.
    whole = re.sub(r"^# ([\w-]+ = )", r"\1", text, flags=re.M)
    same(set(tomllib.loads(whole)), settings(), "mempack.toml")
    tomllib.loads(text)


def check_unit(_):
    text = (HERE / "mempack.service").read_text(encoding="utf-8")
    drain = tomllib.loads((HERE / "mempack.toml").read_text(encoding="utf-8"))["drain-timeout"]
    must(int(re.search(r"^TimeoutStopSec=(\d+)", text, re.M)[1]) > drain, "mempack.service: TimeoutStopSec is not longer than drain-timeout")
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder) / "mempack.service"
        # The program need not be installed where it is checked.
        unit.write_text(text.replace("/opt/mempack/bin/mempack", "/bin/true"), encoding="utf-8")
        printed = tool("systemd-analyze", "verify", unit)
    must(not printed.strip(), f"systemd-analyze verify:\n{printed}")


def check_dockerfile(_):
    text = (HERE / "Dockerfile").read_text(encoding="utf-8")
    rust = tomllib.loads(read("Cargo.toml"))["workspace"]["package"]["rust-version"]
    must(f"FROM rust:{rust}-" in text, f"Dockerfile: Rust is not {rust}")
    port = re.search(r'"--listen", "0\.0\.0\.0:(\d+)"', text)[1]
    must(f"EXPOSE {port}\n" in text and f"127.0.0.1/{port}" in text, "Dockerfile: EXPOSE, HEALTHCHECK and --listen have different ports")
    asked = re.search(r"GET (/\w+) HTTP", text)[1]
    must(asked in routes(), f"Dockerfile: there is no {asked}")
    must(re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.M), "Dockerfile: the user must be a number other than 0, so that Kubernetes can tell")
    tool("hadolint", HERE / "Dockerfile")


def check_kubernetes_names(_):
    parts = {part["kind"]: part for part in kubernetes()}
    config = tomllib.loads(parts["ConfigMap"]["data"]["mempack.toml"])
    unknown = set(config) - settings()
    must(not unknown, f"kubernetes: there are no settings {sorted(unknown)}")
    pod = parts["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        must(container[probe]["httpGet"]["path"] in routes(), f"kubernetes: {probe} asks for an address that there is not")
    before = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    must(pod["terminationGracePeriodSeconds"] > config["drain-timeout"] + before, "kubernetes: terminationGracePeriodSeconds is too short")
    volumes = {volume["name"] for volume in pod["volumes"]}
    same({mount["name"] for mount in container["volumeMounts"]}, volumes, "kubernetes: volumes")
    labels = parts["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (parts["Deployment"]["spec"]["selector"]["matchLabels"], parts["Service"]["spec"]["selector"],
                     parts["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]):
        must(selector.items() <= labels.items(), f"kubernetes: {selector} selects no pod")


def check_kubernetes_schemas(_):
    for file in sorted((HERE / "kubernetes").glob("*.yaml")):
        tool("kubernetes-validate", "--strict", file)


def check_builds(_):
    """The files that build a bank in shards call commands with options that these have."""
    known = {}
    for command in ("plan", "build", "merge"):
        source = read(f"src/cmd/{command}.rs")
        known[command] = set(re.findall(r"^    (\w+): [\w:<>]+,$", source, re.M))
    job = module("yaml").safe_load((HERE / "kubernetes/build.yaml").read_text(encoding="utf-8"))
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    calls = [(arguments[0], " ".join(arguments[1:]))]
    for file in ("kubernetes/build.yaml", "slurm/build.sh"):
        text = (HERE / file).read_text(encoding="utf-8")
        calls += re.findall(r"(?:mempack|\$program) (plan|build|merge) (.*)", text)
    same({command for command, _ in calls}, set(known), "builds in shards: commands")
    for command, rest in calls:
        unknown = {name for name in re.findall(r"--(\w[\w-]*)", rest) if name.replace("-", "_") not in known[command]}
        must(not unknown, f"mempack {command} has no options {sorted(unknown)}")
    must(job["spec"]["completions"] == int(re.search(r"--shards (\d+)", (HERE / "kubernetes/build.yaml").read_text(encoding="utf-8"))[1]),
         "kubernetes/build.yaml: completions are not the shards of the plan")
    tool("bash", "-n", HERE / "slurm/build.sh")


def check_documentation(_):
    text = read("docs/serving.md")
    same(set(re.findall(r"^\| `(mempack_\w+)`", text, re.M)), set(families()), "docs/serving.md: metrics")
    lines = "\n".join(re.findall(r"^\| `\d{3}` .*", text, re.M))
    same(set(re.findall(r"`([a-z_]{6,})`", lines)) & (codes() | {"?"}), codes(), "docs/serving.md: codes of errors")
    unnamed = {name for name in settings() if f"--{name}" not in text}
    must(not unnamed, f"docs/serving.md does not name {sorted(unnamed)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="a server whose /metrics is compared with the sources")
    parser.add_argument("--key", help="its key of administration")
    parser.add_argument("--require-all", action="store_true", help="a check that cannot be made is an error")
    options = parser.parse_args()
    passed = failed = skipped = 0
    for name, check in globals().items():
        if not name.startswith("check_"):
            continue
        title = name.removeprefix("check_").replace("_", " ")
        try:
            check(options)
            passed += 1
            print(f"{title}: ok")
        except NotMade as reason:
            skipped += 1
            print(f"{title}: NOT checked: {reason}")
        except (AssertionError, OSError, KeyError, IndexError, TypeError, ValueError) as error:
            failed += 1
            print(f"{title}: FAILED: {type(error).__name__}: {error}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or (skipped and options.require_all) else 0)


main()
