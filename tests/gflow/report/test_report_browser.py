"""The page in a real browser: without errors, sorted, filtered, with values under the pointer."""

from pathlib import Path
from typing import Any

import pytest

from gflow.report import write_report
from tests.gflow.report.folders import run_folder


def cells(browser: Any, column: int) -> list[str]:
    """Texts of a column of the table of best objects, of the rows that are shown."""
    script = (
        "const t = document.querySelector('#objects tbody');"
        "return [...t.rows].filter(r => !r.hidden).map(r => r.cells[arguments[0]].innerText.trim())"
    )
    found: list[str] = browser.execute_script(script, column)
    return found


@pytest.mark.slow
def test_the_page_works(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    path = write_report([run_folder(tmp_path / "run")])
    browser.set_window_size(1200, 900)
    browser.get(path.as_uri())
    assert "hypergrid, tb" in browser.title
    assert cells(browser, 3) == ["2.6", "0.1", "12"]
    reward = browser.find_elements("css selector", "#objects .table:nth-of-type(1) th button")[2]
    reward.click()
    assert cells(browser, 3) == ["0.1", "2.6", "12"], "by size, not as text"
    reward.click()
    assert cells(browser, 3) == ["12", "2.6", "0.1"]
    head = browser.find_elements("css selector", "#objects .table:nth-of-type(1) th")[3]
    assert head.get_attribute("aria-sort") == "descending"
    browser.find_elements("css selector", "#objects input")[0].send_keys("(0,")
    assert cells(browser, 2) == ["(0, 9)", "(0, 10)"]
    assert browser.find_elements("css selector", "#objects .count")[0].text == "2 of 3 rows"
    tip = browser.find_element("id", "tip")
    assert not tip.is_displayed()
    chart = browser.find_element("css selector", ".chart")
    ActionChains(browser).move_to_element(chart).perform()
    assert tip.is_displayed()
    assert tip.text == "step 100: 0.1"
    tile = browser.find_element("css selector", ".tile")
    ActionChains(browser).move_to_element(tile).perform()
    assert tip.text.startswith("tv: total variation")
    assert browser.get_log("browser") == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 400])
def test_nothing_is_wider_than_the_screen(browser: Any, tmp_path: Path, width: int) -> None:
    for number in range(3):
        run_folder(tmp_path / "sweep" / f"{number}", lr=10.0**-number)
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for path in (write_report([tmp_path / "sweep"]), write_report([tmp_path / "sweep" / "0"])):
        browser.get(path.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.get_log("browser") == []
