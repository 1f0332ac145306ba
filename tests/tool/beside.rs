//! Beside a running client, which goes on as if nobody looked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{run, text};
use crate::support::{PATIENCE, Stage, sender};

/// Ends the threads that look at it, also when a test fails before its end.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Looks at the database in every way, again and again, while a client stores and sends as fast as it can: each look is
/// consistent, the client has no error and keeps its lock and its rate.
#[test]
fn a_client_under_load_is_looked_at_and_goes_on() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    let (stop, stored) = (AtomicBool::new(false), AtomicU64::new(0));
    let database = stage.database();
    let (rate_alone, rate_beside, looks) = thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        for thread in 0..4 {
            let (sender, stop, stored) = (&sender, &stop, &stored);
            scope.spawn(move || {
                for number in 0.. {
                    let payload = format!("{thread} {number:0>200}");
                    sender.enqueue_message(payload).unwrap();
                    stored.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let rate = |from: u64, since: Instant| {
            let stored = stored.load(Ordering::Relaxed) - from;
            stored as f64 / since.elapsed().as_secs_f64()
        };
        let begun = Instant::now();
        thread::park_timeout(Duration::from_secs(2));
        let rate_alone = rate(0, begun);
        let (from, begun, mut looks) = (stored.load(Ordering::Relaxed), Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(3) {
            let status = run(&stage, &["status", "--json", "--db", text(&database)]);
            assert_eq!(status.code, 0, "{status:#?}");
            let status = &status.json()[0];
            assert_eq!(status["client_process"], std::process::id());
            let listed = run(
                &stage,
                &["outbox", "list", "--json", "--db", text(&database)],
            );
            assert_eq!(listed.code, 0, "{listed:#?}");
            let exported = run(
                &stage,
                &["outbox", "export", "--decode", "--db", text(&database)],
            );
            assert_eq!(exported.code, 0, "{exported:#?}");
            // Nothing is there twice, nothing is out of order, and no payload is of another Message.
            let mut last = 0;
            for line in exported.json() {
                let id = line["id"].as_u64().unwrap();
                assert!(id > last, "{id} behind {last}");
                last = id;
                let payload = line["payload"].as_str().unwrap();
                let (thread, number) = payload.split_once(' ').unwrap();
                assert!(thread.parse::<u8>().unwrap() < 4 && number.len() == 200);
            }
            looks += 1;
        }
        (rate_alone, rate(from, begun), looks)
    });
    println!("stored per second: {rate_alone:.0} alone, {rate_beside:.0} beside {looks} looks");
    assert!(looks > 0);
    client
        .wait_enqueued_messages_sent_timeout(PATIENCE)
        .unwrap();
    let refused = stage.device().start().err();
    let refused = refused.expect("the client still has its lock").to_string();
    assert!(refused.contains("in use"), "{refused}");
    client.close();
    let total = stored.load(Ordering::Relaxed);
    assert_eq!(stage.platform.received_count(), total);
    assert_eq!(stage.platform.distinct_count(), total);
}

/// The same while nothing gets out: the file grows all the time, and is lengthened ahead of that.
#[test]
fn a_client_that_stores_without_a_network_is_looked_at() {
    let stage = Stage::new();
    let client = stage.start();
    stage.cut_off();
    let sender = sender(&client);
    let (stop, database) = (AtomicBool::new(false), stage.database());
    thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    sender.enqueue_message(vec![7; 1000]).unwrap();
                }
            });
        }
        let mut pending = 0;
        for _ in 0..10 {
            let status = run(&stage, &["status", "--json", "--db", text(&database)]);
            assert_eq!(status.code, 0, "{status:#?}");
            let now = status.json()[0]["pending_messages"].as_u64().unwrap();
            assert!(now >= pending, "{now} behind {pending}");
            pending = now;
        }
        assert!(pending > 0);
    });
    client.close();
}

#[test]
fn what_changes_the_file_is_refused_while_a_client_has_it() {
    let stage = Stage::new();
    let client = stage.start();
    let database = stage.database();
    for command in [
        &["outbox", "retry", "--all", "--yes"][..],
        &["outbox", "drop", "--state", "all", "--yes"],
        &["outbox", "import", "--yes", "-"],
        &["send", "payload"],
    ] {
        let ended = run(&stage, &[command, &["--db", text(&database)]].concat());
        assert_eq!(ended.code, 1);
        let said = format!("in use by another client (process {})", std::process::id());
        assert!(ended.stderr.contains(&said), "{ended:#?}");
    }
    sender(&client)
        .send_message_timeout("after all", PATIENCE)
        .unwrap();
    client.close();
}

/// What the hub has acknowledged is not told as pending, though its row is still there.
#[test]
fn a_message_that_was_sent_is_not_pending_any_more() {
    let stage = Stage::new();
    let client = stage.start();
    let sender = sender(&client);
    for number in 0..10 {
        sender
            .send_message_timeout(format!("{number}"), PATIENCE)
            .unwrap();
    }
    let database = stage.database();
    let status = run(&stage, &["status", "--json", "--db", text(&database)]).json();
    assert_eq!(status[0]["pending_messages"], 0, "{status:#?}");
    let listed = run(&stage, &["outbox", "list", "--db", text(&database)]);
    assert_eq!(listed.stdout, "");
    client.close();
}
