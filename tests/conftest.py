import importlib.util
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

# Derandomised so that the suite does not flake; no deadline: the first call of torch is slow.
settings.register_profile("dev", max_examples=25, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("thorough", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("GFLOW_HYPOTHESIS", "dev"))

torch.set_num_threads(1)

# Shells have their background jobs ignore Ctrl-C, and nohup a closed terminal; so would all
# processes that tests start.
if threading.current_thread() is threading.main_thread():
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    """Identities are exact in theory: test them in float64, with a tight tolerance.

    Chance is the same whatever ran before: a test that sets no seed has one all the same.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="session")
def starter() -> Iterator[Any]:
    """Starts programs in real processes that need not import torch first: see `starter.py`."""
    file = Path(__file__).with_name("starter.py")
    spec = importlib.util.spec_from_file_location("gflow_starter", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    started = module.Starter()
    yield started
    started.close()


DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a494441"
    "54789c63f80f0001010100b138f6140000000049454e44ae426082"
)
"""A picture of one dot, as PNG."""


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no pictures, which take most of a short run's time."""
    monkeypatch.setattr("gflow.runs.run.draw", lambda *args: {})


@pytest.fixture
def sketches(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What tasks draw of themselves is drawn, but dots are saved, for short runs; nothing else.

    Returns:
        What does it in earnest, by name.
    """
    try:
        from matplotlib.figure import Figure

        from gflow.runs import pictures
    except ImportError:
        return {}
    save, shown = "matplotlib.figure.Figure.savefig", "gflow.runs.pictures.shown_pictures"
    real = {save: Figure.savefig, shown: pictures.shown_pictures}
    monkeypatch.setattr(save, lambda self, path, **how: Path(path).write_bytes(DOT))
    monkeypatch.setattr(shown, lambda *args: {})
    return real


@pytest.fixture
def rendered(sketches: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are drawn and saved all the same."""
    for name, real in sketches.items():
        monkeypatch.setattr(name, real)


@pytest.fixture(scope="session")
def _chromium() -> Iterator[Any]:
    """One browser for all tests."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed (chromium-driver of Debian)")
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(driver))
    yield found
    found.quit()


@pytest.fixture
def browser(_chromium: Any) -> Any:
    """The browser, of its own size, at an empty page, with nothing in its log."""
    _chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    _chromium.get("about:blank")
    _chromium.get_log("browser")
    return _chromium
