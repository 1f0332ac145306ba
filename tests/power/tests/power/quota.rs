//! The quota of the device's user is used up: what would make a file longer fails with EDQUOT, of which SQLite knows
//! nothing.

use std::time::{Duration, Instant};

use spotflow_device::{DeviceClient, Error};

use crate::device::{Device, Kind, PATIENCE, POWER_SAFE, message, name, sender};
use crate::recorder::Call;

/// Stores Messages of this size until there is no room; returns their names.
fn store_until_full(device: &Device, client: &DeviceClient, bytes: usize) -> Vec<String> {
    let mut accepted = Vec::new();
    loop {
        let name = name(bytes, accepted.len(), bytes);
        match sender(client).enqueue_message(message(&name)) {
            Ok(_) => accepted.push(name),
            Err(error) => {
                assert!(matches!(error, Error::StorageFull { .. }), "{error:?}");
                assert!(error.is_retryable());
                let text = error.chain().to_string();
                assert!(text.contains("quota exceeded"), "{text}");
                assert!(device.disk().failed() > 0);
                return accepted;
            }
        }
    }
}

#[test]
fn with_the_quota_used_up_nothing_is_lost_and_acknowledgements_make_room_again() {
    for (window, bytes) in [(1, 200), (8, 3000), (1, 100_000)] {
        let device = Device::new(Kind {
            window,
            ..POWER_SAFE
        });
        let client = device.start();
        device.cut_off();
        let mut accepted = vec![name(0, 0, 500)];
        let first = sender(&client).enqueue_message(message(&accepted[0]));
        first.expect("there is room");
        device.disk().fail(Call::Grow, 0, usize::MAX);
        // The large ones first: there may be room for a small one still.
        for bytes in [bytes, 0] {
            accepted.extend(store_until_full(&device, &client, bytes));
        }
        device.offline(false);
        let waited = client.wait_enqueued_messages_sent_timeout(PATIENCE);
        waited.unwrap_or_else(|error| panic!("{bytes}: {error:?}"));

        // As before, and the file has room of its own, as soon as the rows of what was sent are deleted.
        accepted.push(name(1, 0, 100));
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = sender(&client).send_message(message(&accepted[accepted.len() - 1]))
        {
            assert!(matches!(error, Error::StorageFull { .. }), "{error:?}");
            assert!(Instant::now() < deadline, "there is no room again");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert!(device.disk().heal() > 0);
        accepted.push(name(2, 0, 200_000));
        let sent = sender(&client).send_message(message(&accepted[accepted.len() - 1]));
        sent.expect("there is space again");
        client.close();
        let received = device.platform.messages().into_iter();
        let received: Vec<String> = received.filter_map(|it| it.message_id).collect();
        assert_eq!(received, accepted, "{bytes}");
        device.end(&format!("quota, {bytes} B"));
    }
}
