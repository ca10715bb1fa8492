"""A browser that visits the lab's Horizon, without a screen."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from portchain_lab.layout import PASSWORD
from portchain_lab.waiting import wait_for
from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

T = TypeVar("T")

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
OPTIONS = (
    # Tests run as root, which Chromium's sandbox refuses.
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    # Nothing but the lab is asked.
    *("--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--proxy-server=direct://"),
    "--window-size=1280,960",
)
SCREENSHOTS = Path("test-results/screenshots")
DEADLINE = 120
_FADING = (exceptions.StaleElementReferenceException, exceptions.ElementNotInteractableException)


class Browser:
    """Chromium, and what tests do with it.

    :param driver: Selenium's.
    :param url: of Horizon, with a slash at its end.
    """

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        self.url = url

    def open(self, path: str = "") -> None:
        """Show a page of Horizon."""
        self.driver.get(self.url + path)

    def log_in(self, user: str, password: str = PASSWORD) -> None:
        """Fill in the log-in, and send it."""
        self.open("auth/login/")
        self.type("username", user)
        self.type("password", password)
        self.click("#loginBtn")

    def until(self, check: Callable[[], T | bool | None], what: str) -> T:
        """Wait until a check, of elements that may disappear meanwhile, is fulfilled."""

        def once() -> T | bool | None:
            try:
                return check()
            except (*_FADING, exceptions.NoSuchElementException):
                return None

        return wait_for(once, DEADLINE, f"{what} (at {self.driver.current_url})")

    def all(self, css: str) -> list[WebElement]:
        """Elements that can be seen."""
        found: list[WebElement] = self.driver.find_elements(By.CSS_SELECTOR, css)
        return [one for one in found if one.is_displayed()]

    def one(self, css: str, text: str = "") -> WebElement:
        """Wait for an element that can be seen, and that has a text."""
        return self.until(
            lambda: next((one for one in self.all(css) if text in one.text), None),
            f"{css} with {text!r}",
        )

    def click(self, css: str, text: str = "") -> None:
        """Click an element as soon as nothing covers it."""

        def clicked() -> bool:
            try:
                self.one(css, text).click()
            except exceptions.ElementClickInterceptedException:
                return False
            return True

        self.until(clicked, f"{css} with {text!r} to be clickable")

    def type(self, name: str, text: str) -> None:
        """Replace the text of a field."""
        field = self.one(f"[name='{name}']")
        field.clear()
        field.send_keys(text)

    def choose(self, name: str, label: str) -> None:
        """Choose an option whose text begins with a label."""
        chooser = Select(self.one(f"select[name='{name}']"))
        self._choose(chooser, label)

    def add(self, field: str, label: str) -> None:
        """Add an option to a list whose order counts."""
        css = f"select[name='{field}'] ~ select[aria-label='Add']"
        self._choose(Select(self.one(css)), label)

    @staticmethod
    def _choose(chooser: Select, label: str) -> None:
        texts = [option.text for option in chooser.options]
        fitting = [text for text in texts if text.startswith(label)]
        assert fitting, f"no option begins with {label!r}: {texts}"
        chooser.select_by_visible_text(fitting[0])

    def send(self) -> None:
        """Send the form that can be seen."""
        self.click("form input[type='submit'].btn-primary")

    def value(self, name: str) -> str:
        """The text of a field."""
        return str(self.one(f"[name='{name}']").get_attribute("value"))

    @property
    def text(self) -> str:
        """All that can be read on the page."""
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def wait_for_text(self, *texts: str) -> str:
        """Wait until the page says something; return all that it says."""
        return self.until(
            lambda: text if all(one in (text := self.text) for one in texts) else None,
            " and ".join(texts),
        )

    def wait_for_address(self, pattern: str) -> str:
        """Wait until the address of the page, without Horizon's, fits."""

        def fits() -> str | None:
            path: str = self.driver.current_url.removeprefix(self.url)
            return path if re.fullmatch(pattern, path) else None

        return self.until(fits, f"an address like {pattern}")

    def keep(self, name: str) -> Path:
        """Keep a screenshot for a person to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        assert self.driver.save_screenshot(str(path))
        return path

    def hosts(self) -> set[str]:
        """The hosts from which the page has loaded anything."""
        script = "return performance.getEntriesByType('resource').map(one => one.name)"
        return {str(urlsplit(one).hostname) for one in self.driver.execute_script(script)}

    def complaints(self) -> list[str]:
        """What the browser has logged as errors since it was asked before."""
        return [
            one["message"] for one in self.driver.get_log("browser") if one["level"] == "SEVERE"
        ]


@contextmanager
def browser(url: str, profile: Path) -> Iterator[Browser]:
    """Run Chromium within this context.

    :param profile: an empty folder for what it stores.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield Browser(driver, url)
    finally:
        driver.quit()
