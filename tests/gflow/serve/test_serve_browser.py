"""A run that is watched in a real browser while it trains, stopped, and resumed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.cli.main import main
from gflow.runs.holder import Holder
from gflow.training.json_lines import read_document, read_jsonl

WORDS = "hypergrid --side 4 --width 16 --steps 10 --eval-every 10 --eval-samples 20 --quiet".split()


def wait(what: Callable[[], Any], why: str) -> Any:
    """Until something is so; the time is only for tests that fail."""
    deadline = time.monotonic() + 240
    while not (found := what()):
        assert time.monotonic() < deadline, why
        time.sleep(0.1)
    return found


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A run of ten steps; what trains in it at the end is killed."""
    folder = tmp_path / "runs" / "grid"
    torch.set_default_dtype(torch.float32)  # that of the process that resumes it
    assert main(["train", *WORDS, "--out", str(folder)]) == 0
    yield folder
    holder = Holder.read(folder)
    if holder is not None and holder.alive:
        os.kill(holder.pid, signal.SIGKILL)


@pytest.fixture
def server(run: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "gflow", "serve", str(run.parent), "--port", "0"]
    found = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield found
    found.kill()
    found.communicate()


@pytest.mark.slow
def test_watch_stop_and_resume(browser: Any, run: Path, server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    address = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", server.stdout.readline())
    assert address is not None

    def state() -> str:
        found: str = browser.execute_script(
            "return document.querySelector('.state')?.dataset.state || ''"
        )
        return found

    def click(verb: str) -> None:
        wait(
            lambda: browser.execute_script(
                "const b = document.querySelector(`[data-verb=${arguments[0]}]`); b?.click();"
                "return !!b",
                verb,
            ),
            f"there is no button {verb}",
        )

    def shown() -> int:
        text = browser.execute_script("return document.getElementById('state').textContent")
        return int(re.findall(r"step (\d+)", text)[0]) if "step" in text else -1

    browser.set_window_size(1200, 900)
    browser.get(address[0])
    assert "token" not in browser.current_url
    wait(lambda: state() == "finished", "the list shows the run")
    list_ = "return document.querySelector('.runs tbody').innerText"
    assert "10 of 10" in browser.execute_script(list_)
    browser.find_element("link text", "grid").click()
    wait(lambda: state() == "finished", "the page shows its state")
    # Extended in the page: the prompt is answered as a person would.
    browser.execute_script("window.prompt = () => '10000000'; window.same = true;")
    click("extend")
    wait(lambda: state() == "training", "the run is resumed")
    before = wait(lambda: shown() > 10 and shown(), "steps are shown as they are done")
    wait(lambda: shown() > before, "steps go on")
    course = browser.execute_script("return document.querySelector('#curves .chart').ariaLabel")
    assert int(re.findall(r"at step (\d+)", course)[-1]) > 10, "curves are renewed"
    assert browser.execute_script("return window.same"), "the page was not loaded anew"

    click("stop")
    wait(lambda: state() == "stopped", "the run stops")
    assert Holder.read(run) is None, "it ended by itself, with the folder released"
    stopped_at = read_jsonl(run / "metrics.jsonl")[-1]["step"]
    assert "Stopped at step" in (run / "resume.log").read_text()

    click("resume")
    wait(lambda: state() == "training", "the run goes on")
    resumed = wait(lambda: read_document(run / "about.json")["resumed"][1:], "it was loaded")
    assert resumed[0] >= stopped_at
    server.send_signal(signal.SIGINT)
    said = server.communicate(timeout=240)[0]
    assert (server.returncode, "Served no longer." in said) == (0, True)
    wait(lambda: "does not answer" in browser.find_element("id", "note").text, "the page says so")
    holder = Holder.read(run)
    assert holder is not None
    assert holder.alive, "the run outlives the server"
    holder.interrupt()
    wait(lambda: not holder.alive, "it saves and ends")
    log = [row for row in browser.get_log("browser") if "ERR_CONNECTION" not in row["message"]]
    assert log == []


@pytest.mark.slow
def test_no_page_is_wider_than_the_screen(
    browser: Any, run: Path, server: subprocess.Popen[str]
) -> None:
    assert server.stdout is not None
    address = server.stdout.readline().split("open ")[1].strip()
    for width in (1200, 400):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for page in (address, address.replace("/?", f"/run/{run.name}?")):
            browser.get(page)
            wait(lambda: browser.find_elements("css selector", ".state"), "the state is shown")
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.get_log("browser") == []
