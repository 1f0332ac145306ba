import os
import pathlib
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

import bare_device
from page import Page

# The package is not installed here but on the path; see pytest.ini.
pytest_plugins = ["spotflow_emulator.pytest_plugin"]

DEVICE_ID = "boiler-1"


@pytest.fixture
def start_emulator(start_spotflow_emulator):
    def start(*options):
        return start_spotflow_emulator("--page-port", "0", *options)

    return start


@pytest.fixture
def emulator(start_emulator):
    return start_emulator()


@pytest.fixture(scope="session")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.add_argument("--headless=new")
    # Chromium's sandbox is not to be had as root or in a container; what it opens is ours.
    options.add_argument("--no-sandbox")
    options.add_argument("--disable-dev-shm-usage")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def open_page(browser):
    """The page of an emulator, in a browser with a desktop's window. At the end nothing may stand in the browser's
    log."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.set_window_size(1280, 1000)

    def open_(emulator):
        page = Page(browser, emulator)
        page.open()
        return page

    yield open_
    complaints = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    # Before the program ends, whose end the browser would tell of.
    browser.get("about:blank")
    assert complaints == []


@pytest.fixture
def page(emulator, open_page):
    return open_page(emulator)


@pytest.fixture
def screenshot(browser):
    directory = pathlib.Path(os.environ.get("PAGE_SCREENSHOTS", "."))
    directory.mkdir(parents=True, exist_ok=True)

    def take(name):
        browser.save_screenshot(str(directory / f"{name}.png"))

    return take


@pytest.fixture
def connection(emulator):
    """A connected device."""
    with bare_device.Connection(bare_device.registered(emulator, DEVICE_ID)) as connection:
        yield connection
