"""What the Platform's page shows and takes."""

import http.client
import json
import time
import urllib.parse

import pytest
from axe_selenium_python import Axe
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

import bare_device
from conftest import DEVICE_ID

READING = "stream-group-name=plant&stream-name=readings"


def reading(number):
    return json.dumps({"temperatureCelsius": 20 + number % 7, "fan": {"rpm": 900 + 40 * (number % 5)}}).encode()


def request(page_link, path, method="GET", body=None, **headers):
    """A request without a browser; the answer is read."""
    link = urllib.parse.urlsplit(page_link)
    connection = http.client.HTTPConnection(link.hostname, link.port, timeout=10)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer, content


def cookie(emulator):
    link = urllib.parse.urlsplit(emulator.page)
    answer, _ = request(emulator.page, f"/?{link.query}")
    return answer.getheader("Set-Cookie").split(";")[0]


def test_only_who_has_the_link_is_let_in(start_emulator, tmp_path):
    emulator = start_emulator("--ca-file", tmp_path / "ca.pem")
    answer, content = request(emulator.page, "/")
    assert answer.status == 403
    assert "link" in content
    assert request(emulator.page, "/?token=wrong")[0].status == 403
    assert request(emulator.page, "/do/switch", "POST", "fault=silent")[0].status == 403
    link = urllib.parse.urlsplit(emulator.page)
    answer, _ = request(emulator.page, f"/?{link.query}")
    assert (answer.status, answer.getheader("Location")) == (303, "/")
    assert "HttpOnly; SameSite=Lax" in answer.getheader("Set-Cookie")
    answer, content = request(emulator.page, "/", Cookie=cookie(emulator))
    assert answer.status == 200
    assert emulator.provisioning_token in content
    assert emulator.ca_file in content
    assert "default-src 'none'" in answer.getheader("Content-Security-Policy")
    elsewhere = {"Cookie": cookie(emulator), "Host": "elsewhere.example"}
    assert request(emulator.page, "/", **elsewhere)[0].status == 421
    assert request(emulator.page, "/devices/nobody", Cookie=cookie(emulator))[0].status == 404


def test_orders_work_without_the_script(emulator):
    headers = {
        "Cookie": cookie(emulator),
        "Content-Type": "application/x-www-form-urlencoded",
        "Referer": urllib.parse.urljoin(emulator.page, "/devices/x"),
    }
    answer, _ = request(emulator.page, "/do/switch", "POST", "fault=disable", **headers)
    assert answer.status == 303
    assert answer.getheader("Location").startswith("/devices/x?notice=Done")
    assert bare_device.init(emulator, DEVICE_ID)[0] == 423
    answer, _ = request(emulator.page, "/do/unheard-of", "POST", "", **headers)
    assert urllib.parse.unquote(answer.getheader("Location")).startswith("/devices/x?notice=Not done")
    answer, content = request(emulator.page, "/?notice=%3Cb%3EHello", Cookie=cookie(emulator))
    assert "&lt;b&gt;Hello" in content


def test_a_device_is_let_in_by_a_click(start_emulator, open_page, screenshot):
    emulator = start_emulator("--approve", "manual")
    page = open_page(emulator)
    page.wait_text("#operations", "Nobody waits.")
    _, wanted = bare_device.init(emulator, DEVICE_ID)
    _, unwanted = bare_device.init(emulator, "stranger")
    page.wait_text("#operations", unwanted["verificationCode"])
    screenshot("operations")
    code = wanted["verificationCode"]
    page.type(f"#name-{code}", "decided-here")
    page.find(f"#approve-{code}").click()
    page.wait_notice("Approved as decided-here.")
    page.click(f"#refuse-{unwanted['verificationCode']}")
    page.wait_notice("Refused.")
    page.wait_text("#operations", "Nobody waits.")
    status, approved = bare_device.complete(emulator, wanted)
    assert status == 200
    assert bare_device.complete(emulator, unwanted)[0] == 410
    bare_device.register(emulator, approved["registrationToken"])
    page.wait_text("#devices", "decided-here")


def test_messages_come_with_their_numbers(page, connection, screenshot):
    page.wait_text("#devices", "connected")
    for number in range(30):
        connection.publish(READING, reading(number))
    connection.publish("stream-name=log&batch-id=b1", b"<b>not HTML</b>")
    connection.publish("stream-name=log", b"\x00\xff")
    page.wait(lambda: len(page.rows) == 32, "all Messages")
    newest, text, *_ = page.rows
    assert "2 bytes" in newest
    assert "<b>not HTML</b>" in text and "batch b1" in text and DEVICE_ID in text
    assert page.text("#count") == "32"
    page.wait_text("#numbers", "temperatureCelsius")
    page.wait_text("#numbers", "fan.rpm")
    plots = page.browser.find_elements(By.CSS_SELECTOR, "#numbers svg[role=img]")
    assert [plot.get_attribute("aria-label") for plot in plots] == [
        "30 values between 900 and 1060",
        "30 values between 20 and 26",
    ]
    screenshot("overview")
    page.find("#numbers-title").location_once_scrolled_into_view
    screenshot("numbers")

    Select(page.find("#stream")).select_by_visible_text("log")
    page.button("Show").click()
    page.wait(lambda: len(page.rows) == 2, "the Messages of one stream")
    connection.publish(READING, reading(0))
    connection.publish("stream-name=log", b"third")
    page.wait(lambda: len(page.rows) == 3, "a new Message of that stream")
    assert "third" in page.rows[0]
    assert "temperature" not in page.text("#numbers")


def test_a_message_is_seen_within_200_ms(page, connection):
    page.run("""
        window.delays = [];
        new MutationObserver(changes => {
            for (const change of changes) for (const row of change.addedNodes)
                window.delays.push(Date.now() - Number(row.dataset.received));
        }).observe(document.getElementById("messages"), { childList: true });
    """)
    for number in range(20):
        connection.publish(READING, reading(number))
        page.wait(lambda: len(page.run("return window.delays")) == number + 1, "the Message")
    delays = sorted(page.run("return window.delays"))
    middle = delays[len(delays) // 2]
    print(f"Milliseconds from the hub to the page: {delays[0]} to {delays[-1]}, median {middle}")
    assert middle < 200


def test_a_thousand_messages_a_second_do_not_freeze_it(page, connection):
    page.run("""
        window.pauses = [];
        let last = performance.now();
        (function frame() {
            const now = performance.now();
            window.pauses.push(now - last);
            last = now;
            requestAnimationFrame(frame);
        })();
    """)
    began = time.monotonic()
    for number in range(5000):
        connection.publish_unacknowledged(READING, reading(number))
        if number % 100 == 99:
            # A tenth of a second for each hundred.
            time.sleep(max(0.0, began + number / 1000 - time.monotonic()))
    page.wait(lambda: page.text("#count") == "5000", "all Messages")
    took = time.monotonic() - began
    pauses = page.run("return window.pauses")
    print(f"5000 Messages in {took:.1f} s, the longest pause between frames: {max(pauses):.0f} ms")
    assert len(page.rows) == 200
    assert sum(pause for pause in pauses if pause > 500) < 1000
    page.find("#pause").click()
    assert page.find("#pause").get_attribute("aria-pressed") == "true"
    shown = page.rows
    connection.publish(READING, b"while paused")
    page.wait_text("#count", "5001")
    assert page.rows == shown


def test_a_devices_configuration_is_changed(page, emulator, connection, screenshot):
    connection.subscribe("$iothub/twin/PATCH/properties/desired/#")
    page.click("#devices a")
    page.wait_text("h1", DEVICE_ID)
    page.wait_text("#device-state", "connected; subscriptions: 1")
    page.type("#desired-editor", '{"intervalSeconds": 5}')
    page.button("Set").click()
    page.wait_notice("Set, version 2.")
    page.wait_text("#desired", '"intervalSeconds": 5')
    _, packet = connection.receive()
    assert packet.endswith(b'{"$version":2,"intervalSeconds":5}')
    connection.report(b'{"intervalSeconds": 5}')
    page.wait_text("#reported", '"intervalSeconds": 5')
    screenshot("device")
    page.type("#desired-editor", "{")
    page.button("Set").click()
    page.wait_notice("Not done: EOF")
    # The browser complains of the status.
    page.browser.get_log("browser")
    emulator.set_desired(DEVICE_ID, {"elsewhere": True})
    page.wait_text("#desired", '"elsewhere": true')
    assert page.find("#desired-editor").get_property("value") == "{", "what is being typed stays"


def test_a_device_is_sent_to_and_cut_off(page, emulator, connection):
    connection.subscribe("$iothub/methods/POST/#")
    page.click("#devices a")
    page.type("#method", "restart")
    page.button("Call").click()
    connection.answer_method(200, b'{"restarting": true}')
    page.wait_notice('restart answered 200: {"restarting": true}')
    page.type("#send-text", "hello")
    page.button("Send").click()
    page.wait_notice("Sent")
    page.wait(lambda: emulator.cloud_messages_waiting(DEVICE_ID) == 1, "the command")
    page.button("Lead a local port there").click()
    page.wait_notice("leads to port 22")
    page.button("Cut its connection").click()
    page.wait_notice("Cut.")
    page.wait_text("#device-state", "not connected")
    page.open()
    page.wait_text("#tunnels", f"leads to port 22 of {emulator.workspace_id}:{DEVICE_ID}")
    page.wait_text("#devices", "not connected")
    page.click("#tunnels button")
    page.wait_notice("Stopped.")
    assert emulator.forwardings() == []


def test_faults_are_switched_on_and_taken_back(page, emulator, screenshot):
    def status():
        return bare_device.init(emulator, DEVICE_ID)[0]

    Select(page.find("#route")).select_by_value("init")
    page.type("#status", "500")
    page.button("Apply")
    page.find("form[action='/do/http'] button").click()
    page.wait_notice("Done.")
    assert [status(), status()] == [500, 200]
    page.find("#switch-disable").click()
    page.wait(lambda: status() == 423, "a disabled Workspace")
    Select(page.find("#blockage")).select_by_value("refused")
    page.find("form[action='/do/block'] button").click()
    page.wait_notice("Done.")
    page.find("#faults-title").location_once_scrolled_into_view
    screenshot("faults")
    page.find("#mend").click()
    page.wait(lambda: status() == 200, "an enabled Workspace")
    with bare_device.Connection(bare_device.registered(emulator, DEVICE_ID)) as connection:
        assert connection.code == 0


def test_the_keyboard_is_enough(start_emulator, open_page, browser):
    emulator = start_emulator("--approve", "manual")
    page = open_page(emulator)
    _, operation = bare_device.init(emulator, DEVICE_ID)
    code = operation["verificationCode"]
    page.wait_text("#operations", code)

    def press(key):
        browser.switch_to.active_element.send_keys(key)

    page.find("body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the content"
    press(Keys.ENTER)
    for _ in range(3):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if browser.switch_to.active_element.get_attribute("id") == f"approve-{code}":
            break
    assert browser.switch_to.active_element.get_attribute("id") == f"approve-{code}"
    press(Keys.ENTER)
    page.wait_notice(f"Approved as {DEVICE_ID}.")


def test_a_phone_shows_all_of_it(page, browser, connection, screenshot):
    for number in range(5):
        connection.publish(READING, reading(number))
    # Chromium's windows are not as narrow as phones.
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": True},
    )
    try:
        page.wait(lambda: len(page.rows) == 5, "the Messages")
        for name in ("phone-overview", "phone-device"):
            assert page.run("return document.documentElement.scrollWidth - innerWidth") == 0, name
            screenshot(name)
            if name == "phone-overview":
                page.click("#devices a")
                page.wait_text("h1", DEVICE_ID)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nobody_is_shut_out(page, emulator, browser, connection, colours):
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": colours}]}
    )
    connection.publish(READING, reading(1))
    emulator.forward(DEVICE_ID, 22)
    page.wait_text("#numbers", "fan.rpm")
    for place in ("overview", "device"):
        # Not as an element: the page allows none of a stranger.
        axe = Axe(browser)
        axe.inject()
        found = axe.run()["violations"]
        assert found == [], axe.report(found)
        if place == "overview":
            page.click("#devices a")
            page.wait_text("h1", DEVICE_ID)


def test_the_end_of_the_emulator_is_told(emulator, page, browser):
    page.wait_text("#operations", "Nobody waits.")
    emulator.close()
    page.wait_notice("The emulator is out of reach.")
    # Of which the browser complains.
    browser.get_log("browser")
    browser.get("about:blank")
    browser.get_log("browser")
