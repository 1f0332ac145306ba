//! When a session pings, and when it takes the connection for dead.

use super::*;

#[test]
fn an_idle_connection_pings_after_the_keep_alive_and_needs_nothing_else() {
    let mut session = quiet();
    assert_eq!(session.next_tick(), Some(Moment::START + KEEP_ALIVE));
    session
        .tick(Moment::START + KEEP_ALIVE - Duration::from_secs(1))
        .unwrap();
    assert!(session.output().is_empty());
    let now = Moment::START + KEEP_ALIVE;
    session.tick(now).unwrap();
    let mut output = session.output().split();
    session.sent(true, now);
    assert_eq!(
        Packet::read(&mut output, MAX_PACKET_BYTES).unwrap(),
        Packet::PingReq
    );
    let mut pong = BytesMut::new();
    Packet::PingResp.write(&mut pong, MAX_PACKET_BYTES).unwrap();
    session.receive(&pong, now).unwrap();
    assert_eq!(session.next_tick(), Some(now + KEEP_ALIVE));
}

#[test]
fn a_silent_peer_is_found_within_keep_alive_and_limit() {
    let mut session = quiet();
    let ping_at = Moment::START + KEEP_ALIVE;
    session.tick(ping_at).unwrap();
    session.output().clear();
    session.sent(true, ping_at);
    assert_eq!(session.next_tick(), Some(ping_at + SILENCE_LIMIT));
    let error = session.tick(ping_at + SILENCE_LIMIT).unwrap_err();
    assert!(matches!(error, SessionError::Silent));
}

#[test]
fn a_publish_that_is_not_acknowledged_is_found_although_the_peer_lives() {
    let mut session = quiet();
    publish(&mut session, message(1));
    sent(&mut session);
    let mut pong = BytesMut::new();
    Packet::PingResp.write(&mut pong, MAX_PACKET_BYTES).unwrap();
    session
        .receive(&pong, Moment::START + SILENCE_LIMIT / 2)
        .unwrap();
    assert_eq!(session.next_tick(), Some(Moment::START + SILENCE_LIMIT));
    let error = session.tick(Moment::START + SILENCE_LIMIT).unwrap_err();
    // Not that the hub gave no sign of life: it did.
    assert!(matches!(error, SessionError::Unacknowledged), "{error}");
}

#[test]
fn a_publish_that_is_not_acknowledged_by_a_peer_that_says_nothing_is_silence() {
    let mut session = quiet();
    publish(&mut session, message(1));
    sent(&mut session);
    let error = session.tick(Moment::START + SILENCE_LIMIT).unwrap_err();
    assert!(matches!(error, SessionError::Silent), "{error}");
}

#[test]
fn a_large_message_may_crawl_over_a_slow_link() {
    let mut session = quiet();
    let mut large = message(1);
    large.body = Body::Inline(Bytes::from(vec![0; 250_000]));
    publish(&mut session, large);
    let mut now = Moment::START;
    // 2 KB/s, in steps of 10 s.
    while !session.output().is_empty() {
        now = now + Duration::from_secs(10);
        session.tick(now).unwrap();
        assert!(
            session.next_tick() > Some(now),
            "nothing is to be done while it crawls"
        );
        let step = session.output().len().min(20_000);
        drop(session.output().split_to(step));
        let all = session.output().is_empty();
        session.sent(all, now);
    }
    assert!(now.since(Moment::START) > KEEP_ALIVE);
    let almost = now + SILENCE_LIMIT - Duration::from_secs(1);
    session.tick(almost).unwrap();
    assert!(session.tick(now + SILENCE_LIMIT).is_err());
}

#[test]
fn a_hub_that_must_have_let_go_is_not_asked_any_more() {
    let slept = |time| {
        let mut session = quiet();
        let outcome = session.tick(Moment::START + time);
        (outcome, sent(&mut session))
    };
    let (outcome, packets) = slept(KEEP_ALIVE * 3 / 2 - Duration::from_secs(1));
    outcome.unwrap();
    assert_eq!(packets, [Packet::PingReq]);
    let (outcome, packets) = slept(KEEP_ALIVE * 3 / 2);
    assert!(matches!(outcome.unwrap_err(), SessionError::LetGo));
    assert!(packets.is_empty());
}
