"""What programs hold. They are classes of Python's so that they take weak references, which those of the native
module cannot on CPython 3.7."""

from typing import TYPE_CHECKING

from . import _native

if TYPE_CHECKING:
    from typing_extensions import final
else:

    def final(kind):
        return kind


@final
class DeviceClient(_native.DeviceClient):
    __slots__ = ("__weakref__",)

    def __init_subclass__(cls) -> None:
        raise TypeError("a DeviceClient is no base of other classes")


@final
class StreamSender(_native.StreamSender):
    __slots__ = ("__weakref__",)

    def __init_subclass__(cls) -> None:
        raise TypeError("a StreamSender is no base of other classes")


for _kind in (DeviceClient, StreamSender):
    _kind.__module__ = "spotflow_device"
    _kind.__doc__ = _kind.__base__.__doc__
