//! The connection is cut at every byte of a conversation, in both directions.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;
use spotflow_device::{DeviceClient, StreamSender, Transport};

use crate::proxy::{Cut, Direction, Ending, Proxy};
use crate::support::{DEVICE, PATIENCE, Stage, eventually, sender};

/// Devices that are cut at the same time, each on a network of its own: most of the time they back off.
const DEVICES: usize = 56;
/// Then the device is started anew, for which the TLS handshake is a full one.
const CUTS_PER_START: usize = 20;
/// In the first bytes, which are of the TLS handshake, only every so-many-th is cut at.
const HELLO_BYTES: usize = 350;
const HELLO_STEP: usize = 9;
/// Over WebSocket every so-many-th byte is cut at, beginning with any: what is behind the frames is the same.
const WEB_SOCKET_STEP: usize = 7;
/// What waits to be sent, so that no conversation ends before its cut.
const WAITING: usize = 4;
/// So many cuts may follow each other without an acknowledgement, which would start the back-off over.
const FRUITLESS_MAX: usize = 2;
const TICK: Duration = Duration::from_millis(20);

/// What a conversation takes in one direction.
#[derive(Debug, Clone, Copy)]
struct Way {
    first_acknowledged: usize,
    bytes: usize,
}

/// One conversation after a reconnect: login, subscriptions, twin, Messages, an update of the Desired
/// Properties and one of the Reported, and a cloud-to-device message.
fn conversation(transport: Transport) -> (Way, Way) {
    let worker = Worker::new(transport);
    let client = worker.start();
    let connected = |wanted| {
        worker
            .platform()
            .wait_for_connected(DEVICE, wanted, PATIENCE)
    };
    connected(true).unwrap();
    worker.proxy.cut_now(Ending::Fin);
    connected(false).unwrap();
    worker.change_from_outside(&client);
    worker.enqueue(&sender(&client), 1);
    worker.settle(&client);
    let first = *worker.proxy.traffic().last().unwrap();
    worker.change_from_outside(&client);
    worker.enqueue(&sender(&client), WAITING - 1);
    worker.settle(&client);
    let all = *worker.proxy.traffic().last().unwrap();
    let way = |first_acknowledged, bytes| Way {
        first_acknowledged,
        bytes,
    };
    (
        way(first.to_hub_bytes, all.to_hub_bytes),
        way(first.to_device_bytes, all.to_device_bytes),
    )
}

/// What was given to the Platform and to the device, which must arrive.
#[derive(Default)]
struct Ledger {
    messages: usize,
    cloud_messages: usize,
    changes: usize,
    cloud_messages_received: Vec<String>,
}

/// How a device came through.
struct Outcome {
    messages: usize,
    repeats: usize,
    cloud_messages: usize,
    cloud_repeats: usize,
}

struct Worker {
    transport: Transport,
    stage: Stage,
    proxy: Proxy,
    ledger: Mutex<Ledger>,
}

impl Worker {
    fn new(transport: Transport) -> Worker {
        let stage = Stage::new();
        let proxy = Proxy::to(&stage.platform.hub_host_name());
        stage.platform.announce_hub(Some(&proxy.host()));
        Worker {
            transport,
            stage,
            proxy,
            ledger: Mutex::default(),
        }
    }

    fn platform(&self) -> &spotflow_emulator::Platform {
        &self.stage.platform
    }

    fn start(&self) -> DeviceClient {
        // Soon patient again with a Message that was in flight in three cuts in a row.
        let keep_alive = Duration::from_secs(5);
        let device = self.stage.device().keep_alive(keep_alive);
        let device = device.transport(self.transport).cloud_messages(true);
        device.start().expect("the device starts")
    }

    fn enqueue(&self, sender: &StreamSender, count: usize) {
        let mut ledger = self.ledger.lock();
        let numbers = ledger.messages..ledger.messages + count;
        sender
            .enqueue_messages(numbers.map(|number| number.to_string()))
            .unwrap();
        ledger.messages += count;
    }

    /// Desired and Reported Properties, and a cloud-to-device message.
    fn change_from_outside(&self, client: &DeviceClient) {
        let mut ledger = self.ledger.lock();
        ledger.changes += 1;
        let change = json!({"change": ledger.changes});
        self.platform().set_desired(DEVICE, &change).unwrap();
        client.update_reported_properties(&change).unwrap();
        if self.platform().cloud_messages_waiting(DEVICE) < 10 {
            let text = ledger.cloud_messages.to_string();
            self.platform()
                .send_cloud_message(DEVICE, text, &[])
                .unwrap();
            ledger.cloud_messages += 1;
        }
    }

    /// All of these cuts, and the reckoning.
    fn run(self, cuts: &[Cut]) -> Outcome {
        for cuts in cuts.chunks(CUTS_PER_START) {
            self.talk_through(cuts);
        }
        self.reconcile()
    }

    /// Talks all the time, while one connection after the other is cut.
    fn talk_through(&self, cuts: &[Cut]) {
        let client = self.start();
        let sender = sender(&client);
        // For each cut anew: how long all take depends on the machine.
        let mut deadline = Instant::now() + 2 * PATIENCE;
        let mut cuts = cuts.iter();
        let (mut seen, mut acknowledged, mut fruitless) = ((0, false), 0, 0);
        loop {
            assert!(Instant::now() < deadline, "{} cuts are left", cuts.len());
            let pending = usize::try_from(client.pending_messages_count()).unwrap();
            let now_acknowledged = self.ledger.lock().messages - pending;
            if now_acknowledged > acknowledged {
                (acknowledged, fruitless) = (now_acknowledged, 0);
            }
            self.enqueue(&sender, WAITING.saturating_sub(pending));
            // Once before the hub accepts a connection, which finds it when it asks, and once after.
            let connected = self.platform().connected(DEVICE);
            let now = (self.proxy.traffic().len(), connected);
            if now != seen {
                seen = now;
                self.change_from_outside(&client);
            }
            if self.proxy.cuts_left() > 0 {
                // This one came before its cut was set.
                if connected && fruitless == 0 {
                    self.proxy.cut_now(Ending::Fin);
                }
            } else if fruitless < FRUITLESS_MAX {
                let Some(cut) = cuts.next() else { break };
                fruitless += 1;
                deadline = Instant::now() + 2 * PATIENCE;
                self.proxy.cut_next([*cut]);
            }
            std::thread::park_timeout(TICK);
        }
        self.settle(&client);
        client.close();
    }

    /// Nothing is cut any more, and everything arrives.
    fn settle(&self, client: &DeviceClient) {
        client
            .wait_enqueued_messages_sent_timeout(PATIENCE)
            .unwrap();
        let change = json!({"change": self.ledger.lock().changes});
        eventually("the Desired Properties arrive", || {
            client
                .get_desired_properties()
                .unwrap()
                .values()
                .get("change")
                == change.get("change")
        });
        let reported = self
            .platform()
            .wait_for_reported(DEVICE, |it| *it == change, PATIENCE);
        reported.unwrap();
        self.platform()
            .wait_for_cloud_messages(DEVICE, 0, PATIENCE)
            .unwrap();
        let received = &mut self.ledger.lock().cloud_messages_received;
        while let Some(message) = client.receive_cloud_message(Duration::ZERO).unwrap() {
            received.push(String::from_utf8(message.payload().to_vec()).unwrap());
            message.complete().unwrap();
        }
    }

    /// Holds what arrived against the ledger.
    fn reconcile(&self) -> Outcome {
        let ledger = self.ledger.lock();
        let distinct = self.platform().distinct_messages();
        let texts: Vec<String> = distinct.iter().map(|message| message.text()).collect();
        let accepted: Vec<String> = (0..ledger.messages)
            .map(|number| number.to_string())
            .collect();
        assert_eq!(
            texts, accepted,
            "lost, out of order, or repeated behind another"
        );
        // Those whose acknowledgement was cut off come again, in their order.
        let mut cloud = Vec::new();
        for text in &ledger.cloud_messages_received {
            if !cloud.contains(text) {
                cloud.push(text.clone());
            }
        }
        let sent: Vec<String> = (0..ledger.cloud_messages)
            .map(|number| number.to_string())
            .collect();
        assert_eq!(
            cloud, sent,
            "a cloud-to-device message is lost or out of order"
        );
        Outcome {
            messages: ledger.messages,
            repeats: self.platform().messages().len() - distinct.len(),
            cloud_messages: ledger.cloud_messages,
            cloud_repeats: ledger.cloud_messages_received.len() - ledger.cloud_messages,
        }
    }
}

/// One cut before anything is acknowledged, then one after, and so on: the back-off stays short.
fn all_cuts(transport: Transport, step: usize, random: &mut fastrand::Rng) -> Vec<Cut> {
    let ways = conversation(transport);
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for (direction, way) in [(Direction::ToHub, ways.0), (Direction::ToDevice, ways.1)] {
        println!("{direction:?}: {way:?}");
        let hello = (random.usize(..HELLO_STEP)..HELLO_BYTES).step_by(HELLO_STEP);
        let rest = (HELLO_BYTES + random.usize(..step)..=way.bytes).step_by(step);
        for after_bytes in hello.chain(rest) {
            let ending = match random.bool() {
                true => Ending::Fin,
                false => Ending::Reset,
            };
            let cut = Cut {
                direction,
                after_bytes,
                ending,
            };
            match after_bytes < way.first_acknowledged {
                true => early.push(cut),
                false => late.push(cut),
            }
        }
    }
    random.shuffle(&mut early);
    random.shuffle(&mut late);
    let (mut early, mut late) = (early.into_iter(), late.into_iter());
    let pairs = std::iter::from_fn(|| Some([early.next(), late.next()]));
    let pairs = pairs.take_while(|pair| pair != &[None, None]);
    pairs.flatten().flatten().collect()
}

#[test]
fn a_connection_cut_at_any_byte_loses_nothing_and_repeats_only_directly_after_the_original() {
    cut(Transport::Mqtt, 1);
}

#[test]
fn a_connection_over_websocket_cut_at_any_byte_loses_nothing_either() {
    cut(Transport::WebSocket, WEB_SOCKET_STEP);
}

fn cut(transport: Transport, step: usize) {
    let begun = Instant::now();
    let mut random = fastrand::Rng::with_seed(spotflow_fuzz::seed());
    let cuts = all_cuts(transport, step, &mut random);
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let devices = cuts.chunks(cuts.len().div_ceil(DEVICES));
        let devices = devices.map(|cuts| scope.spawn(move || Worker::new(transport).run(cuts)));
        let devices: Vec<_> = devices.collect();
        let outcomes = devices.into_iter().map(|device| device.join().unwrap());
        outcomes.collect()
    });
    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    let repeats = sum(|it| it.repeats);
    println!(
        "{} cuts in {:?}: {} Messages, 0 lost, {repeats} repeated directly after the original; \
         {} cloud-to-device messages, {} of them stored twice",
        cuts.len(),
        begun.elapsed(),
        sum(|it| it.messages),
        sum(|it| it.cloud_messages),
        sum(|it| it.cloud_repeats),
    );
    assert!(
        repeats > 0,
        "no cut came between a Message and its acknowledgement"
    );
}
