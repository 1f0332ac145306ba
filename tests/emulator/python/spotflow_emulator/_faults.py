"""What the Platform does wrong on request, one method each."""

import base64
from typing import Mapping, Optional, Union

from ._channel import Channel
from .records import AckMode, Blockage, CutPoint, RelayFault, Route, Way


class Faults(Channel):
    """An order holds for everything that happens after the call that gave it returned."""

    # Of the hub

    def acknowledge(self, mode: AckMode, seconds: Optional[float] = None) -> None:
        """Sets when Messages are acknowledged; `seconds` are for :attr:`AckMode.AFTER`. Any mode but
        :attr:`AckMode.WITHHOLD` also releases what is held back."""
        self.command("acknowledge", mode=mode, seconds=seconds)

    def release_acknowledgements(self) -> None:
        """Sends the acknowledgements held back so far; the mode stays."""
        self.command("release_acknowledgements")

    def cut_after_messages(self, count: int, point: CutPoint) -> None:
        """Cuts the connection over which the n-th next Message comes (1: the very next one), without a farewell. The
        Message is recorded; what came after it is not. 0 takes the order back."""
        self.command("cut_after_messages", count=count, point=point)

    def close_connections(self) -> None:
        """Cuts all MQTT connections, without a farewell."""
        self.command("close_connections")

    def close_connection(self, device: str) -> None:
        """Cuts the MQTT connection of one device, without a farewell, if there is one."""
        self.command("close_connection", device=device)

    def refuse_connects(self, code: int, count: Optional[int] = None) -> None:
        """Refuses the next `count` CONNECTs, or all until further notice, with a return code from 1 to 5; 0 takes
        the order back."""
        self.command("refuse_connects", code=code, count=count)

    def refuse_messages(self, refuse: bool = True) -> None:
        """Closes the connection over which a Message comes, and does not record it, until told otherwise."""
        self.command("refuse_messages", refuse=refuse)

    def throttle_messages(self, per_second: float, burst: int) -> None:
        """Takes so many Messages a second, over all devices, and `burst` at once after a pause. The connection over
        which another comes is closed, and that Message is not recorded."""
        self.command("throttle_messages", per_second=per_second, burst=burst)

    def stop_throttling(self) -> None:
        """Ends :meth:`throttle_messages`."""
        self.command("stop_throttling")

    def go_silent(self, silent: bool = True) -> None:
        """Goes silent: MQTT connections stay open, new ones are taken, but nothing that arrives is handled and nothing
        is sent. `False`: goes on, with all that arrived meanwhile. The HTTP API works on."""
        self.command("go_silent", silent=silent)

    def accept_connections(self, accept: bool) -> None:
        """Stops listening, so that new connections of both kinds are refused, or listens again on the same ports.
        Existing MQTT connections stay (see :meth:`close_connections`); HTTP connections end with the request that
        they are at."""
        self.command("accept_connections", accept=accept)

    def block(self, way: Way, blockage: Blockage) -> None:
        """Blocks a way to the Platform for connections that come from now on, until :meth:`unblock`. Each way is
        blocked by itself; connections that are there stay (see :meth:`close_connections`)."""
        self.command("block", way=way, blockage=blockage)

    def unblock(self, way: Way) -> None:
        """Opens a way again. Connections that were taken in silence go on."""
        self.command("unblock", way=way)

    def websocket_frame_bytes(self, bytes: Optional[int]) -> None:
        """Sends to devices that use WebSockets in frames of at most so many bytes, so that packets span them. None: in
        frames as large as what is to be sent at once, which may be several packets."""
        self.command("websocket_frame_bytes", bytes=bytes)

    def forget_sessions(self) -> None:
        """Forgets all sessions: the next CONNACK says so, and subscriptions are gone. Live connections stay, but what
        they subscribed to is forgotten, too."""
        self.command("forget_sessions")

    def twin_status(self, status: int, count: int = 1) -> None:
        """Answers the next `count` twin requests, reads and patches, with that status, and does nothing else for
        them."""
        self.command("twin_status", status=status, count=count)

    # Of the storage

    def refuse_blocks(self, refuse: bool = True) -> None:
        """Has the storage know no blocks: it answers them with 400, which names neither signature nor expiry."""
        self.command("refuse_blocks", refuse=refuse)

    def storage_rate(self, bytes_per_second: Optional[float]) -> None:
        """Has the storage take so many bytes of content a second, over all connections; None: as many as come."""
        self.command("storage_rate", bytes_per_second=bytes_per_second)

    def cut_storage_after(self, bytes: Optional[int]) -> None:
        """Cuts the connection over which the n-th next byte of content comes to the storage, without an answer, once.
        None takes the order back."""
        self.command("cut_storage_after", bytes=bytes)

    # Of the relay

    def break_relay(self, fault: RelayFault, number: Optional[int] = None) -> None:
        """Has the relay do that wrong with every tunnel whose device answers from now on; `number` is for the faults
        that take one."""
        self.command("break_relay", fault=fault, number=number)

    def mend_relay(self) -> None:
        """Takes :meth:`break_relay` back; tunnels that stall go on."""
        self.command("mend_relay")

    # Of the HTTP API

    def disable_workspace(self, disabled: bool = True) -> None:
        """Disables all Workspaces, or enables them again: the API answers 423."""
        self.command("disable_workspace", disabled=disabled)

    def http_status(self, route: Route, status: int, problem_type: Optional[str] = None, count: int = 1) -> None:
        """Answers the next `count` such requests with that status, as a problem with that type, and does nothing else
        for them. Several orders are followed one after the other."""
        self.command("http_status", route=route, status=status, problem_type=problem_type, count=count)

    def http_answer(
        self,
        route: Route,
        status: int,
        headers: Optional[Mapping[str, str]] = None,
        body: Union[str, bytes] = b"",
        count: Optional[int] = None,
    ) -> None:
        """Answers the next `count` such requests, or all until :meth:`clear_http_faults`, with that, and does nothing
        else for them: as a captive portal or an intercepting proxy would. :attr:`Route.ANY` is all requests, to the
        storage, the relay and the hub too."""
        content = body.encode() if isinstance(body, str) else body
        self.command(
            "http_answer",
            route=route,
            status=status,
            headers=list((headers or {}).items()),
            body=base64.b64encode(content).decode(),
            count=count,
        )

    def http_hang(self, route: Route, hang: bool = True) -> None:
        """Takes such requests and does not answer them; `False`: goes on with those that are still there."""
        self.command("http_hang", route=route, hang=hang)

    def clear_http_faults(self) -> None:
        """Takes all orders to the HTTP side back, but for :meth:`disable_workspace`."""
        self.command("clear_http_faults")
