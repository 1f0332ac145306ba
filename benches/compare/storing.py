"""How fast Messages are stored, beside what the disk allows. Without a network, so that nothing is sent meanwhile."""

from rig import MESSAGE_BYTES, median_ratio, number, rate

THREADS = 8


def measure(rig):
    count = rig.scale.stored
    bare, published, ours, together, relaxed, failures = [], [], [], [], [], []
    for _ in range(rig.scale.rounds):
        bare.append(rig.bare_append(count)[0])
        published.append(_one_thread(rig, rig.published, count))
        ours.append(_one_thread(rig, rig.ours, count))
        together.append(_threads(rig, rig.ours, count, []))
        relaxed.append(_one_thread(rig, rig.ours, 10 * count, durability="KILL_SAFE"))
    _threads(rig, rig.published, count, failures)
    rig.faster("durable enqueue, 200 B, one thread", published, ours, 4)
    parts = [median_ratio(rates, bare) for rates in (published, ours)]
    work = "the same as a part of a bare loop of append and fdatasync"
    rig.row(work, *(f"{part:.2f}" for part in parts), f"bare: {rate(bare)}", "0.8", parts[1] >= 0.8)
    told = f"{failures[0]} of {count} calls fail" if failures[0] else "works"
    times = median_ratio(together, ours)
    work = "durable enqueue, eight threads that share a sender; ratio to our one thread"
    rig.row(work, told, rate(together), f"{number(times)} x", "3 x", times >= 3)
    rig.faster("enqueue, relaxed durability, one thread (published: durable)", published, relaxed, 15)


def _one_thread(rig, side, count, **options):
    with rig.platform() as platform, rig.device(side, platform, **options) as device:
        device.start_and_send().go_offline()
        return count / device.order("enqueue", count=count, size=MESSAGE_BYTES)["seconds"]


def _threads(rig, side, count, failures):
    with rig.platform() as platform, rig.device(side, platform) as device:
        device.start_and_send().go_offline()
        each = count // THREADS
        stored = device.order("enqueue_from_threads", threads=THREADS, count=each, size=MESSAGE_BYTES)
        failures.append(stored["failures"])
        return each * THREADS / stored["seconds"]
