import pathlib

import pytest

import bare_device

from azure.iot.device import IoTHubDeviceClient

# The package is not installed here but on the path; see pytest.ini.
pytest_plugins = ["spotflow_emulator.pytest_plugin"]

DEVICE_ID = "azure-1"


@pytest.fixture
def emulator(start_spotflow_emulator):
    # The SDK knows no other ports.
    return start_spotflow_emulator("--standard-ports")


@pytest.fixture(params=["mqtt", "websocket"])
def transport(request):
    return request.param


@pytest.fixture
def connection_string(emulator):
    return bare_device.registered(emulator, DEVICE_ID)


@pytest.fixture
def start_device(emulator, connection_string, transport):
    devices = []

    def start(**options):
        device = IoTHubDeviceClient.create_from_sastoken(
            connection_string["SharedAccessSignature"],
            server_verification_cert=pathlib.Path(emulator.ca_file).read_text(),
            websockets=transport == "websocket",
            connection_retry_interval=1,
            **options,
        )
        devices.append(device)
        device.connect()
        return device

    yield start
    for device in devices:
        device.shutdown()


@pytest.fixture
def device(start_device):
    return start_device()
