//! The network goes and comes back, and the system tells the device of it.

use std::time::{Duration, Instant};

use crate::support::{DEVICE, LogCapture, PATIENCE, sender, within};
use crate::wire::{on_a_wire, plug_in, unplug};

/// How often the device did not wait any longer because of such news.
fn hurried() -> usize {
    let lines = LogCapture::install().lines();
    let lines = lines.iter();
    lines
        .filter(|line| line.text.starts_with("the network has changed"))
        .count()
}

#[test]
fn a_link_that_comes_up_again_is_used_at_once() {
    let name = "links::a_link_that_comes_up_again_is_used_at_once";
    on_a_wire(name, |stage| {
        let client = stage.start();
        let sender = sender(&client);
        sender.send_message("0").unwrap();
        // TCP still waits in the one, and has given up in the other.
        for (count, seconds) in [(2, 3), (3, 20)] {
            unplug();
            sender.enqueue_message(seconds.to_string()).unwrap();
            std::thread::sleep(Duration::from_secs(seconds));
            let before = hurried();
            let begun = Instant::now();
            plug_in();
            stage.platform.wait_for_messages(count, PATIENCE).unwrap();
            println!("after {seconds} s without a link: {:?}", begun.elapsed());
            assert!(hurried() > before, "it was told of it");
        }
        client
            .wait_enqueued_messages_sent_timeout(PATIENCE)
            .unwrap();
        let messages = stage.platform.distinct_messages();
        let texts: Vec<String> = messages.iter().map(|it| it.text()).collect();
        assert_eq!(texts, ["0", "3", "20"]);
    });
}

#[test]
fn an_idle_connection_is_tested_when_its_link_goes() {
    let name = "links::an_idle_connection_is_tested_when_its_link_goes";
    on_a_wire(name, |stage| {
        let keep_alive = Duration::from_secs(600);
        let client = stage.device().keep_alive(keep_alive).start().unwrap();
        let connected = stage.platform.wait_for_connected(DEVICE, true, PATIENCE);
        connected.unwrap();
        sender(&client).send_message("0").unwrap();
        unplug();
        within(PATIENCE, "the connection is found to be gone", || {
            !client.status().is_connected
        });
        plug_in();
        within(PATIENCE, "there is another", || {
            client.status().is_connected
        });
    });
}

#[test]
fn links_that_come_and_go_all_the_time_do_not_make_it_try_all_the_time() {
    let name = "links::links_that_come_and_go_all_the_time_do_not_make_it_try_all_the_time";
    on_a_wire(name, |stage| {
        let client = stage.start();
        sender(&client).send_message("0").unwrap();
        stage.platform.accept_connections(false).unwrap();
        stage.platform.close_connections();
        within(PATIENCE, "it is cut off", || !client.status().is_connected);
        let begun = Instant::now();
        let before = hurried();
        for _ in 0..100 {
            unplug();
            plug_in();
        }
        let took = begun.elapsed();
        let hurries = hurried() - before;
        // Three at once, and one more in ten seconds.
        let most = 3 + usize::try_from(took.as_secs() / 10).unwrap() + 1;
        assert!(hurries <= most, "{hurries} within {took:?}");
        stage.platform.accept_connections(true).unwrap();
        sender(&client).send_message("1").unwrap();
    });
}
