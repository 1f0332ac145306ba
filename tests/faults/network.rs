//! The network refuses, cuts, stalls, and comes back.

use std::time::Duration;

use crate::proxy::{Cut, Direction, Ending, Proxy};
use crate::support::{DEVICE, PATIENCE, Stage, eventually, sender};

#[test]
fn measure() {
    let stage = Stage::new();
    let proxy = Proxy::to(&stage.platform.hub_host_name());
    stage.platform.announce_hub(Some(&proxy.host()));
    let client = stage.device().cloud_messages(true).start().unwrap();
    let s = sender(&client);
    for i in 0..3 {
        stage
            .platform
            .wait_for_connected(DEVICE, true, PATIENCE)
            .unwrap();
        eventually("settle", || client.get_desired_properties().is_ok());
        std::thread::sleep(Duration::from_millis(500));
        eprintln!("connected {:?}", proxy.traffic().last());
        s.send_message("1").unwrap();
        s.send_message("2").unwrap();
        s.send_message("3").unwrap();
        eprintln!("3 messages {:?}", proxy.traffic().last());
        stage.platform.send_cloud_message(DEVICE, "c", &[]).unwrap();
        let v = stage
            .platform
            .set_desired(DEVICE, &serde_json::json!({"a": i}))
            .unwrap();
        eventually("", || {
            client.get_desired_properties().unwrap().version() == v
        });
        stage
            .platform
            .wait_for_cloud_messages(DEVICE, 0, PATIENCE)
            .unwrap();
        eprintln!("all {:?}", proxy.traffic().last());
        proxy.cut_now(if i == 0 { Ending::Fin } else { Ending::Reset });
        stage
            .platform
            .wait_for_connected(DEVICE, false, PATIENCE)
            .unwrap();
    }
    eprintln!("{:?}", client.status().last_error);
    let _ = Cut {
        direction: Direction::ToHub,
        after_bytes: 0,
        ending: Ending::Fin,
    };
}
