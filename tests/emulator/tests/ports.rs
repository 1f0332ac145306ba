//! Which ports the Platform takes.

mod support;

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use spotflow_emulator::{Error, Platform};
use support::{Client, device};

#[test]
fn platforms_on_free_ports_do_not_meet() {
    let (one, two) = (Platform::start().unwrap(), Platform::start().unwrap());
    assert_ne!(one.instance(), two.instance());
    assert_ne!(one.ca_certificate_pem(), two.ca_certificate_pem());
    assert_eq!(one.instance(), one.hub_host_name());
    let taken = one.instance().rsplit_once(':').unwrap().1.parse().unwrap();
    assert!(matches!(
        Platform::builder().port(taken).start(),
        Err(Error::Io { .. })
    ));
}

#[test]
fn another_address_is_named_in_the_certificate() {
    let address = IpAddr::V4(Ipv4Addr::new(127, 88, 3, 1));
    let platform = Platform::builder().bind(address).start().unwrap();
    assert!(platform.instance().starts_with("127.88.3.1:"));
    let credentials = device(&platform, "dev-1");
    let (mut client, _) = Client::connect(&platform, &credentials);
    client.deliver(&credentials.events(""), 1, b"x");
}

#[test]
#[ignore = "listens on the ports 443 and 8883, which not everybody may: .ci/test runs it by .ci/ports"]
fn the_standard_ports_are_taken_on_an_address_of_its_own() {
    let address = Ipv4Addr::new(127, 88, 3, 2);
    let _taken = TcpListener::bind((address, 443)).expect("the right to listen on port 443");
    let platform = Platform::builder()
        .bind(address)
        .standard_ports(true)
        .start()
        .unwrap();
    assert_ne!(
        platform.instance(),
        address.to_string(),
        "that one is taken"
    );
    assert_eq!(platform.instance(), platform.hub_host_name());
    assert!(!platform.hub_host_name().contains(':'));
    let credentials = device(&platform, "dev-1");
    let mut client =
        Client::open(&platform, &format!("{}:8883", platform.hub_host_name())).unwrap();
    client.send(&rumqttc::mqttbytes::v4::Packet::Connect(
        credentials.connect(),
    ));
    assert_eq!(client.connack().0, 0);
}
