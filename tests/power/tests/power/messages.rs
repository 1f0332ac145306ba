//! Messages, properties and commands through power cuts.

use std::time::Duration;

use spotflow_device::Durability;
use spotflow_emulator::AckMode;

use crate::device::{DEVICE, Device, Kind, PATIENCE, Run, name, sender};
use crate::survey::{Plan, survey};

/// A device that is busy in all ways: three threads store, large content is uploaded, properties and
/// commands come and go; and a second start.
fn busy(kind: Kind, title: &str) -> Run {
    let device = Device::new(kind);
    if kind.window > 1 {
        device.platform.acknowledge(AckMode::After(Duration::from_millis(5)));
    }
    let client = device.start();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (device, client) = (&device, &client);
            scope.spawn(move || device.store_each(client, thread, 0..25));
        }
        scope.spawn(|| {
            let sender = sender(&client);
            for number in 0..2 {
                device.store(&sender, &[name(7, number, 270_000)]);
            }
        });
        scope.spawn(|| {
            for number in 0..8 {
                device.report(&client, number);
                let text = format!("command {number}");
                let sent = device.platform.send_cloud_message(DEVICE, text, &[]);
                sent.expect("it is queued");
                let desired = serde_json::json!({ "number": number });
                device.platform.set_desired(DEVICE, &desired).expect("it is set");
                device.process_one(&client);
            }
        });
    });
    client.close();
    let client = device.start();
    device.store_each(&client, 0, 25..35);
    client.wait_enqueued_messages_sent_timeout(PATIENCE).expect("all is sent");
    client.close();
    device.end(title)
}

#[test]
fn what_a_busy_device_has_accepted_survives_every_power_cut() {
    let kind = Kind {
        durability: Durability::PowerSafe,
        window: 1,
    };
    let run = busy(kind, "busy");
    let plan = Plan {
        between: 12,
        again: 25,
        deliveries: 8,
    };
    survey(&run, plan);
}
