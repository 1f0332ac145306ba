//! The HTTP API: provisioning, registration, refresh, and its faults.

mod support;

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use spotflow_emulator::{Approval, Error, Event, OperationState, Platform, Route};
use support::{Answer, Client, Credentials, DEADLINE, api, call, device, provision, register};

fn init(platform: &Platform, token: &str, body: &Value) -> Answer {
    api(
        platform,
        "POST",
        "/provisioning-operations/init",
        token,
        body,
    )
}

fn complete(platform: &Platform, token: &str, operation: &Value) -> Answer {
    let body = json!({ "provisioningOperationId": operation["provisioningOperationId"] });
    api(
        platform,
        "PUT",
        "/provisioning-operations/complete",
        token,
        &body,
    )
}

fn refresh(platform: &Platform, token: &str, registration_token: &str) -> Answer {
    let body = json!({ "registrationToken": registration_token });
    api(
        platform,
        "PUT",
        "/devices/registration-tokens/refresh",
        token,
        &body,
    )
}

fn manual() -> (Platform, String) {
    let platform = Platform::builder()
        .approval(Approval::Manual)
        .start()
        .unwrap();
    let token = platform.provisioning_token();
    (platform, token)
}

#[test]
fn an_operation_waits_for_its_approval() {
    let (platform, token) = manual();
    let operation = init(&platform, &token, &json!({"deviceId": "wanted"})).json();
    assert_eq!(complete(&platform, &token, &operation).status, 202);
    let pending = platform.wait_for_operation(DEADLINE).unwrap();
    assert_eq!(pending.requested_device_id.as_deref(), Some("wanted"));
    assert_eq!(operation["verificationCode"], pending.verification_code);
    assert!(humantime::parse_rfc3339(operation["expirationTime"].as_str().unwrap()).is_ok());

    assert!(matches!(
        platform.approve(&pending.id, Some("x")),
        Err(Error::InvalidDeviceId(_))
    ));
    let device_id = platform
        .approve(&pending.verification_code, Some("decided"))
        .unwrap();
    assert_eq!(device_id, "decided");
    assert!(matches!(
        platform.approve(&pending.id, None),
        Err(Error::OperationClosed(_))
    ));
    let answer = complete(&platform, &token, &operation);
    assert_eq!(answer.status, 200);
    assert_eq!(
        complete(&platform, &token, &operation).json(),
        answer.json(),
        "the same again"
    );
    assert!(humantime::parse_rfc3339(answer.json()["expirationTime"].as_str().unwrap()).is_ok());

    let registration = register(
        &platform,
        answer.json()["registrationToken"].as_str().unwrap(),
    )
    .json();
    assert_eq!(
        Credentials::parse(&registration).hub_id,
        format!("{}:decided", platform.workspace_id())
    );
    assert_eq!(registration["iotHubHostName"], platform.hub_host_name());
    let remaining = registration["tokenRemainingLifetime"].as_str().unwrap();
    assert!(remaining.starts_with("29.23:59:5"), "{remaining}");
    let decided = OperationState::Approved {
        device_id: "decided".to_owned(),
    };
    assert_eq!(platform.operations()[0].state, decided);
    let (events, _) = platform.wait_for_events(0, DEADLINE);
    assert!(
        matches!(events[0], Event::OperationStarted(_))
            && matches!(&events[1], Event::OperationClosed(operation) if operation.state == decided)
            && matches!(events[2], Event::Registered { .. })
    );
}

#[test]
fn a_closed_operation_says_why() {
    let (platform, token) = manual();
    let operation = init(&platform, &token, &json!({})).json();
    platform
        .refuse(operation["verificationCode"].as_str().unwrap())
        .unwrap();
    let refused = complete(&platform, &token, &operation);
    assert_eq!(refused.status, 410);
    assert_eq!(
        refused.json()["type"],
        "/problems/deviceProvisioning/provisioningOperationCancelled"
    );
    assert!(refused.content_type.starts_with("application/problem+json"));

    let operation = init(&platform, &token, &json!({})).json();
    platform
        .expire_operation(operation["provisioningOperationId"].as_str().unwrap())
        .unwrap();
    let expired = complete(&platform, &token, &operation);
    assert_eq!(expired.status, 410);
    assert_ne!(expired.json()["type"], refused.json()["type"]);
    assert_eq!(
        complete(
            &platform,
            &token,
            &json!({"provisioningOperationId": "unknown"})
        )
        .status,
        410
    );
    assert!(matches!(
        platform.refuse("unknown"),
        Err(Error::UnknownOperation(_))
    ));

    let platform = Platform::builder()
        .approval(Approval::Manual)
        .operation_lifetime(Duration::ZERO)
        .provisioning_token("mine")
        .start()
        .unwrap();
    let operation = init(&platform, "mine", &json!({})).json();
    assert_eq!(complete(&platform, "mine", &operation).status, 410);
}

#[test]
fn bad_requests_are_told_apart() {
    let platform = Platform::start().unwrap();
    let token = platform.provisioning_token();
    assert_eq!(init(&platform, "wrong", &json!({})).status, 401);
    assert_eq!(
        init(&platform, &token, &json!({"deviceId": "x"})).status,
        400
    );
    assert_eq!(init(&platform, &token, &json!({"deviceId": 7})).status, 400);
    assert_eq!(init(&platform, &token, &json!([])).status, 400);
    assert_eq!(register(&platform, "wrong").status, 401);
    let other_type = json!({ "connectionStringType": "X509" });
    let registration_token = provision(&platform, "dev-1");
    assert_eq!(
        api(
            &platform,
            "PUT",
            "/devices/register",
            &registration_token,
            &other_type
        )
        .status,
        400
    );
    let headers = [("authorization", "DeviceToken x")];
    assert_eq!(
        call(&platform, "POST", "/nowhere", &headers, b"").status,
        404
    );
    assert_eq!(
        call(
            &platform,
            "PUT",
            "/provisioning-operations/init",
            &headers,
            b""
        )
        .status,
        405
    );
    let authorization = format!("DeviceToken {token}");
    let no_json = [
        ("authorization", authorization.as_str()),
        ("content-type", "text/plain"),
    ];
    assert_eq!(
        call(
            &platform,
            "POST",
            "/provisioning-operations/init",
            &no_json,
            b"{}"
        )
        .status,
        415
    );
    assert_eq!(
        call(
            &platform,
            "POST",
            "/provisioning-operations/init",
            &[],
            b"{}"
        )
        .status,
        401
    );
}

#[test]
fn the_device_id_comes_from_the_device_the_token_or_nobody() {
    let platform = Platform::start().unwrap();
    let with_id = platform.add_provisioning_token(Some("from-token"), Some("other-workspace"));
    let hub_id = |token: &str, body: &Value| {
        let operation = init(&platform, token, body).json();
        let registration_token = complete(&platform, token, &operation).json();
        let answer = register(
            &platform,
            registration_token["registrationToken"].as_str().unwrap(),
        );
        Credentials::parse(&answer.json()).hub_id
    };
    assert_eq!(hub_id(&with_id, &json!({})), "other-workspace:from-token");
    assert_eq!(
        hub_id(&with_id, &json!({"deviceId": "from-device"})),
        "other-workspace:from-device"
    );
    assert!(hub_id(&platform.provisioning_token(), &json!({})).contains(":device-"));
    assert_eq!(platform.devices().len(), 3);

    platform.revoke_provisioning_token(&with_id);
    assert_eq!(init(&platform, &with_id, &json!({})).status, 401);
}

#[test]
fn a_known_device_is_registered_again() {
    let platform = Platform::start().unwrap();
    let first = provision(&platform, "dev-1");
    let second = provision(&platform, "dev-1");
    assert_ne!(first, second);
    assert_eq!(platform.devices().len(), 1);
    assert_eq!(register(&platform, &first).status, 200);
    platform.revoke_registration_tokens("dev-1").unwrap();
    assert_eq!(register(&platform, &second).status, 401);
    assert_eq!(
        register(&platform, &provision(&platform, "dev-1")).status,
        200
    );
}

#[test]
fn a_deleted_device_is_unknown_everywhere() {
    let platform = Platform::start().unwrap();
    let registration_token = provision(&platform, "dev-1");
    let credentials = Credentials::parse(&register(&platform, &registration_token).json());
    let (mut client, _) = Client::connect(&platform, &credentials);
    platform.delete_device("dev-1").unwrap();
    assert_eq!(client.until_closed(), []);
    assert_eq!(register(&platform, &registration_token).status, 401);
    assert_eq!(Client::connect_with(&platform, credentials.connect()).1, 5);
    assert!(matches!(
        platform.delete_device("dev-1"),
        Err(Error::UnknownDevice(_))
    ));
    device(&platform, "dev-1");
}

#[test]
fn a_refreshed_token_leaves_its_predecessor_a_grace_period() {
    let platform = Platform::start().unwrap();
    let token = platform.provisioning_token();
    let first = provision(&platform, "dev-1");
    let renew = |old: &str| {
        let answer = refresh(&platform, &token, old);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["registrationToken"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let second = renew(&first);
    assert_eq!(register(&platform, &first).status, 200, "the grace period");
    let third = renew(&second);
    assert_eq!(
        register(&platform, &first).status,
        401,
        "its predecessor is revoked"
    );
    assert_eq!(register(&platform, &second).status, 200);
    assert_eq!(register(&platform, &third).status, 200);

    assert_eq!(refresh(&platform, &token, &first).status, 412);
    assert_eq!(refresh(&platform, &token, "unknown").status, 403);
    let other = platform.add_provisioning_token(None, None);
    assert_eq!(refresh(&platform, &other, &third).status, 403);
    assert_eq!(refresh(&platform, "wrong", &third).status, 401);

    let short = Platform::builder()
        .registration_token_lifetime(Some(Duration::ZERO))
        .start()
        .unwrap();
    let expired = provision(&short, "dev-1");
    assert_eq!(register(&short, &expired).status, 401);
    assert_eq!(
        refresh(&short, &short.provisioning_token(), &expired).status,
        410
    );

    let endless = Platform::builder()
        .registration_token_lifetime(None)
        .start()
        .unwrap();
    let registration = register(&endless, &provision(&endless, "dev-1")).json();
    assert_eq!(registration["tokenRemainingLifetime"], Value::Null);
}

#[test]
fn a_disabled_workspace_locks_the_api() {
    let platform = Platform::start().unwrap();
    let registration_token = provision(&platform, "dev-1");
    platform.disable_workspace(true);
    assert_eq!(
        init(&platform, &platform.provisioning_token(), &json!({})).status,
        423
    );
    assert_eq!(register(&platform, &registration_token).status, 423);
    platform.disable_workspace(false);
    assert_eq!(register(&platform, &registration_token).status, 200);
}

#[test]
fn the_platform_s_clock_can_be_wrong() {
    let platform = Platform::builder().clock_offset(-86_400).start().unwrap();
    let answer = init(&platform, &platform.provisioning_token(), &json!({}));
    let date = httpdate::parse_http_date(&answer.date.unwrap()).unwrap();
    let behind = SystemTime::now().duration_since(date).unwrap().as_secs();
    assert!((86_400..86_500).contains(&behind), "{behind}");
    let credentials = device(&platform, "dev-1");
    Client::connect(&platform, &credentials)
        .0
        .deliver(&credentials.events(""), 1, b"all the same");
}

#[test]
fn http_answers_are_replaced_delayed_and_held() {
    let platform = Platform::start().unwrap();
    let registration_token = provision(&platform, "dev-1");
    let status = || register(&platform, &registration_token).status;
    platform.http_status(Route::Register, 503, Some("/problems/busy"), 1);
    platform.http_status(Route::Any, 418, None, 1);
    let busy = register(&platform, &registration_token);
    assert_eq!(
        (busy.status, busy.json()["type"].clone()),
        (503, json!("/problems/busy"))
    );
    assert_eq!([status(), status()], [418, 200]);
    platform.http_body(Route::Register, "{ not JSON", 1);
    assert_eq!(register(&platform, &registration_token).body, "{ not JSON");

    let delay = Duration::from_millis(100);
    platform.http_delay(Route::Register, delay);
    let start = std::time::Instant::now();
    assert_eq!(status(), 200);
    assert!(start.elapsed() >= delay);
    platform.clear_http_faults();

    let before = platform.http_request_count(Route::Register);
    platform.http_hang(Route::Register, true);
    std::thread::scope(|scope| {
        let held = scope.spawn(status);
        platform
            .wait_for_request(Route::Register, before + 1, DEADLINE)
            .unwrap();
        let request = platform.http_requests().pop().unwrap();
        assert_eq!((request.route, request.status), (Route::Register, None));
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("PUT", "/devices/register")
        );
        assert_eq!(
            init(&platform, "wrong", &json!({})).status,
            401,
            "others go on"
        );
        platform.http_hang(Route::Register, false);
        assert_eq!(held.join().unwrap(), 200);
    });
}
