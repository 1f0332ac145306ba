"""The page as a person uses it."""

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 10.0


class Page:
    def __init__(self, browser, emulator):
        self.browser = browser
        self._emulator = emulator

    def open(self):
        self.browser.get(self._emulator.page)

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector)

    def click(self, selector):
        """Clicks on it once it is there; what is new may replace it meanwhile."""

        def clicked():
            try:
                self.find(selector).click()
            except (NoSuchElementException, StaleElementReferenceException):
                return False
            return True

        self.wait(clicked, f"{selector} to click on")

    def button(self, text):
        return self.browser.find_element(By.XPATH, f"//button[normalize-space()='{text}']")

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def wait(self, condition, what):
        return WebDriverWait(self.browser, PATIENCE, poll_frequency=0.02).until(lambda _: condition(), what)

    def wait_text(self, selector, text):
        self.wait(lambda: text in self.text(selector), f"{text!r} in {selector}; there is {self.text(selector)!r}")

    def wait_notice(self, text):
        self.wait_text("#notice", text)

    def type(self, selector, text):
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    @property
    def rows(self):
        return self.run("return [...document.querySelectorAll('#messages tr')].map(row => row.innerText)")
