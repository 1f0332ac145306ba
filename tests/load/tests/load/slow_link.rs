//! Links of a few KB per second, and peers that say nothing.

use std::time::{Duration, Instant};

use spotflow_device::Error;
use spotflow_emulator::PacketKind;

use crate::proxy::{Direction, Proxy};
use crate::support::{DEVICE, PATIENCE, Stage, sender, within};

const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The documented time in which a silent peer is found, with room for a busy machine.
const FOUND_WITHIN: Duration = Duration::from_secs(5 + 60 + 20);

#[test]
fn a_peer_that_falls_silent_with_the_socket_open_is_found_within_keep_alive_and_a_minute() {
    std::thread::scope(|scope| {
        for silent in [
            &[Direction::ToHub, Direction::ToDevice][..],
            &[Direction::ToDevice],
            &[Direction::ToHub],
        ] {
            for has_message in [false, true] {
                scope.spawn(move || silence(silent, has_message));
            }
        }
    });
}

fn silence(silent: &[Direction], has_message: bool) {
    let stage = Stage::new();
    let proxy = Proxy::to(&stage.platform.hub_host_name());
    stage.platform.announce_hub(Some(&proxy.host()));
    let client = stage.device().keep_alive(KEEP_ALIVE).start().unwrap();
    let sender = sender(&client);
    sender.send_message("before").unwrap();
    silent.iter().for_each(|way| proxy.stall(*way, true));
    if has_message {
        sender.enqueue_message("kept").unwrap();
    }
    let begun = Instant::now();
    within(FOUND_WITHIN, "the silence is noticed", || {
        !client.status().is_connected
    });
    let took = begun.elapsed();
    // Not too soon: a link of a few KB per second needs its time. A hub that hears nothing may be faster.
    let is_for_us_to_find = silent.contains(&Direction::ToDevice);
    assert!(
        !is_for_us_to_find || took > Duration::from_secs(50),
        "{silent:?}: {took:?}"
    );
    let error = client.status().last_error;
    assert!(matches!(error, Some(Error::Network { .. })), "{error:?}");

    silent.iter().for_each(|way| proxy.stall(*way, false));
    if !has_message {
        sender.enqueue_message("kept").unwrap();
    }
    let sent = client.wait_enqueued_messages_sent_timeout(2 * PATIENCE);
    sent.unwrap();
    let distinct = stage.platform.distinct_messages();
    let texts: Vec<String> = distinct.iter().map(|message| message.text()).collect();
    assert_eq!(texts, ["before", "kept"], "{silent:?}");
}

#[test]
fn messages_of_250_kb_pass_a_link_of_2_kb_per_second_on_one_connection() {
    const BYTES_PER_SECOND: usize = 2_000;
    let stage = Stage::new();
    let proxy = Proxy::slow(&stage.platform.hub_host_name(), BYTES_PER_SECOND);
    stage.platform.announce_hub(Some(&proxy.host()));
    let client = stage.start();
    let sender = sender(&client);
    // The largest that is not uploaded; and what comes behind, which waits for its turn.
    let payloads = [vec![b'a'; 250_000], vec![b'b'; 250_000], b"behind".to_vec()];
    let begun = Instant::now();
    for payload in &payloads {
        sender.enqueue_message(payload.clone()).unwrap();
    }
    let limit = Duration::from_secs(400);
    client.wait_enqueued_messages_sent_timeout(limit).unwrap();
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(240),
        "the link was too fast: {took:?}"
    );
    let messages = stage.platform.messages();
    let received: Vec<&[u8]> = messages.iter().map(|it| &it.payload[..]).collect();
    assert!(received == payloads, "{} Messages", messages.len());
    assert_eq!(stage.platform.connection_count(), 1);
    assert_eq!(client.status().reconnects, 0);
}

#[test]
fn a_slow_link_is_kept_alive_between_large_messages() {
    let stage = Stage::new();
    let proxy = Proxy::slow(&stage.platform.hub_host_name(), 8_000);
    stage.platform.announce_hub(Some(&proxy.host()));
    // A strict hub closes after one and a half times this without a whole packet.
    let keep_alive = Duration::from_secs(10);
    let client = stage.device().keep_alive(keep_alive).start().unwrap();
    let sender = sender(&client);
    for byte in b'a'..=b'c' {
        sender.send_message(vec![byte; 80_000]).unwrap();
        let pings = pings(&stage);
        let pinged = |packets: &[_]| count_pings(packets) > pings;
        let wait = stage
            .platform
            .wait_for_packets(DEVICE, pinged, 2 * PATIENCE);
        wait.unwrap();
    }
    assert_eq!(stage.platform.messages().len(), 3);
    assert_eq!(stage.platform.connection_count(), 1);
}

fn pings(stage: &Stage) -> usize {
    count_pings(&stage.platform.packets(DEVICE))
}

fn count_pings(packets: &[spotflow_emulator::PacketSeen]) -> usize {
    let pings = packets.iter().filter(|it| it.kind == PacketKind::PingReq);
    pings.count()
}

#[test]
fn a_link_with_a_long_round_trip_works() {
    let stage = Stage::new();
    let proxy = Proxy::to(&stage.platform.hub_host_name());
    proxy.delay(Duration::from_millis(700));
    stage.platform.announce_hub(Some(&proxy.host()));
    let client = stage.device().cloud_messages(true).start().unwrap();
    for text in ["1", "2", "3"] {
        sender(&client).send_message(text).unwrap();
    }
    assert_eq!(stage.received(), ["1", "2", "3"]);
    assert_eq!(stage.platform.connection_count(), 1);
}

#[test]
fn a_platform_that_is_seconds_away_is_reached_in_the_end() {
    let stage = Stage::new();
    let proxy = Proxy::to(&stage.platform.instance());
    let device = || stage.device().instance(proxy.host());
    device().start().unwrap().close();
    // A call takes two round trips: longer than silence is borne at first, and than one step of it may take.
    proxy.delay(Duration::from_secs(3));
    let client = device().start().unwrap();
    sender(&client).enqueue_message("far away").unwrap();
    let sent = client.wait_enqueued_messages_sent_timeout(8 * PATIENCE);
    sent.unwrap();
    assert_eq!(stage.received(), ["far away"]);
}
