"""The cloud calls functions of a device, and a technician reaches its SSH server through the Platform.

    SPOTFLOW_PROVISIONING_TOKEN=CAEaBA... python remote_hands.py

`SPOTFLOW_INSTANCE` names another instance than the public one, `SPOTFLOW_DATABASE` another file than `spotflow.db`.
"""

import logging
import os
import threading

from spotflow_device import DeviceClient, MethodRequest, MethodResponse, RemoteAccess, TunnelRequest

SSH = 22
LONGEST_INTERVAL_SECONDS = 3600


class Device:
    def __init__(self) -> None:
        self.interval_seconds = 60
        self.is_to_restart = threading.Event()

    def restart(self, request: MethodRequest) -> str:
        # The caller is answered before the device goes down: the main thread does the rest.
        self.is_to_restart.set()
        return "restarting"

    def set_interval(self, request: MethodRequest) -> MethodResponse:
        # An argument that makes no sense is the caller's mistake: 400, with what is wrong.
        seconds = request.payload.get("seconds") if isinstance(request.payload, dict) else None
        if not isinstance(seconds, int) or not 1 <= seconds <= LONGEST_INTERVAL_SECONDS:
            return MethodResponse(400, {"detail": f"seconds must be 1 to {LONGEST_INTERVAL_SECONDS}"})
        before, self.interval_seconds = self.interval_seconds, seconds
        print(f"a reading every {seconds} s", flush=True)
        return MethodResponse(200, {"secondsBefore": before})

    def is_welcome(self, request: TunnelRequest) -> bool:
        # A device that must not be disturbed just now would return False.
        print(f"a technician comes to port {request.port}", flush=True)
        return True


def main() -> None:
    # Openings and ends of tunnels are logged at this level.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    device = Device()
    with DeviceClient.start(
        device_id="my-device",
        provisioning_token=os.environ["SPOTFLOW_PROVISIONING_TOKEN"],
        instance=os.environ.get("SPOTFLOW_INSTANCE"),
        db=os.environ.get("SPOTFLOW_DATABASE", "spotflow.db"),
        methods={"restart": device.restart, "setInterval": device.set_interval},
        allow_remote_access=RemoteAccess([SSH], idle_limit=900),
        remote_access_callback=device.is_welcome,
    ):
        device.is_to_restart.wait()
    print("this is where it would restart", flush=True)


if __name__ == "__main__":
    main()
