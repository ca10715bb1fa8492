"""The files for Prometheus and Grafana name figures that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.registry import Collector

from portchain import server_metrics
from portchain.host.metrics import HostCollector
from tests.unit.metrics.test_exporter import worker

FOLDER = Path(__file__).parents[3] / "deploy" / "prometheus"


def figures(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(server_metrics.neutron_context, "get_admin_context", object)
    monkeypatch.setattr(server_metrics.lookup, "show_page", lambda *_, **__: [])
    collectors: list[Collector] = [HostCollector([worker("h1", {})])]
    collectors.append(server_metrics.ChainCollector())
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for collector in collectors
        for family in collector.collect()
    }


def expressions() -> list[str]:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    return [
        *(rule["expr"] for group in rules["groups"] for rule in group["rules"]),
        *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"]),
        *(str(one["query"]) for one in dashboard["templating"]["list"]),
    ]


def test_alerts_and_dashboard_use_figures_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    used = {name for one in expressions() for name in re.findall(r"portchain_\w+", one)}
    assert used
    assert used <= figures(monkeypatch)


def test_the_page_names_all_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (FOLDER.parents[1] / "docs" / "operate" / "observe.md").read_text()
    assert figures(monkeypatch) == set(re.findall(r"`(portchain_\w+)", page))


def test_alerts_have_what_prometheus_demands() -> None:
    rules: Any = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert {"severity"} == set(rule["labels"])
            assert {"summary", "description"} == set(rule["annotations"])


def test_scrape_configuration_is_read() -> None:
    jobs = yaml.safe_load((FOLDER / "scrape.yml").read_text())["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["portchain-hosts", "portchain-server"]


@pytest.mark.skipif(not shutil.which("promtool"), reason="Prometheus is not installed")
def test_promtool_accepts_the_files() -> None:
    for check, name in (("rules", "alerts.yml"), ("config", "scrape.yml")):
        done = subprocess.run(
            ["promtool", "check", check, FOLDER / name],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
