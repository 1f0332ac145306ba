//! Who the device is, and which files are taken over at all.

use super::fixture::{AGES, Age, Published};
use crate::identity::HubDeviceId;
use crate::instance::{DEFAULT_INSTANCE, Instance};
use crate::store::rows::device::ANY_DEVICE_ID;

#[test]
fn the_registration_is_kept_at_every_age() {
    for age in AGES {
        let device = Published::new(age).upgrade().device().unwrap();
        assert_eq!(device.instance, "api.example", "{age:?}");
        assert_eq!(device.provisioning_token.expose(), "pt");
        assert_eq!(
            device.registration_token.as_ref().map(|it| it.expose()),
            Some("rt")
        );
        let requested = match age {
            Age::V0_1_3 => ANY_DEVICE_ID,
            _ => "wheel-1",
        };
        assert_eq!(device.requested_device_id.as_deref(), Some(requested));
        let identity = HubDeviceId {
            workspace_id: "ws".to_owned(),
            device_id: "wheel-1".to_owned(),
        };
        assert_eq!(device.identity, Some(identity), "{age:?}");
        assert!(!device.identity_is_open);
    }
}

#[test]
fn that_no_device_id_was_requested_is_kept() {
    let published = Published::new(Age::V1_2_0);
    published.sql("UPDATE SdkConfiguration SET requested_device_id = NULL", ());
    let device = published.upgrade().device().unwrap();
    assert_eq!(device.requested_device_id, None);
}

#[test]
fn the_instance_is_kept_as_ours_is_compared() {
    let dps = "https://device-provisioning.";
    for (age, url, instance) in [
        (
            Age::V1_2_0,
            "https://api.eu1.spotflow.io/".to_owned(),
            DEFAULT_INSTANCE,
        ),
        (
            Age::V1_2_0,
            "https://API.Example:443/".to_owned(),
            "api.example",
        ),
        (
            Age::V1_2_0,
            "https://localhost:8443/".to_owned(),
            "localhost:8443",
        ),
        (
            Age::V1_1_0,
            format!("{dps}acme.spotflow.io"),
            "acme.spotflow.io",
        ),
        (
            Age::V1_0_1,
            format!("{dps}localhost:8443/"),
            "localhost:8443",
        ),
        (
            Age::V0_1_3,
            format!("{dps}api.eu1.spotflow.io/"),
            DEFAULT_INSTANCE,
        ),
        (
            Age::V0_1_3,
            format!("{dps}eu1.spotflow.io/"),
            DEFAULT_INSTANCE,
        ),
        (
            Age::V1_1_0,
            "https://api.eu1.spotflow.io/".to_owned(),
            DEFAULT_INSTANCE,
        ),
    ] {
        let published = Published::new(age);
        let column = if age == Age::V1_2_0 {
            "instance_url"
        } else {
            "dps_url"
        };
        published.sql(
            &format!("UPDATE SdkConfiguration SET {column} = ?1"),
            [&url],
        );
        let device = published.upgrade().device().unwrap();
        assert_eq!(device.instance, instance, "{url}");
        assert_eq!(Instance::parse(instance).unwrap().to_string(), instance);
    }
}

#[test]
fn an_unknown_version_is_refused_by_its_name_and_the_file_left_alone() {
    for version in ["1.3.0", "0.1.2", "2", ""] {
        let published = Published::new(Age::V1_2_0);
        published.numbered_messages(3);
        published.sql("UPDATE SdkConfiguration SET db_version = ?1", [version]);
        let before = published.bytes();
        assert_eq!(
            published.refusal(),
            format!(
                "{}: cannot take over the database of the published SDK: its schema has version \
                 {version}; this library knows 0.1.3, 1.0.1, 1.1.0, 1.2.0",
                published.path.display()
            )
        );
        assert_eq!(published.bytes(), before);
        assert_eq!(published.files(), ["device.db", "device.db-lock"]);
    }
}

#[test]
fn a_configuration_that_was_never_written_starts_afresh_with_the_messages() {
    let published = Published::new(Age::V1_2_0);
    published.numbered_messages(2);
    published.sql("DELETE FROM SdkConfiguration", ());
    let upgraded = published.upgrade();
    assert!(upgraded.device().is_none());
    assert_eq!(upgraded.outbox().len(), 2);
}

#[test]
fn what_cannot_be_read_of_the_configuration_leads_to_a_new_approval() {
    let lax = |change: &str| {
        let published = Published::lax(Age::V1_2_0);
        published.numbered_messages(1);
        published.sql(&format!("UPDATE SdkConfiguration SET {change}"), ());
        let upgraded = published.upgrade();
        assert_eq!(upgraded.outbox().len(), 1, "{change}");
        upgraded.device().unwrap()
    };
    for change in [
        "registration_token = NULL",
        "registration_token = ''",
        "registration_token = 'a b'",
        "registration_token = 'a' || char(13, 10) || 'X: y'",
    ] {
        assert_eq!(lax(change).registration_token, None, "{change}");
    }
    for change in [
        "instance_url = NULL",
        "instance_url = 'ftp://x'",
        "instance_url = x'ff'",
    ] {
        assert_eq!(lax(change).instance, "", "{change}");
    }
    assert_eq!(
        lax("provisioning_token = NULL").provisioning_token.expose(),
        ""
    );
    let identity = lax("device_id = NULL, workspace_id = x'ff00'")
        .identity
        .unwrap();
    assert_eq!(identity.device_id, "");
    let identity = lax("device_id = 17, workspace_id = NULL").identity.unwrap();
    assert_eq!(
        (identity.workspace_id.as_str(), identity.device_id.as_str()),
        ("", "17")
    );
}
