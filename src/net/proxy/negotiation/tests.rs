use super::*;

const LOGIN: &str = "me:hunter2secret@";

fn proxy(scheme: &str, login: &str) -> Proxy {
    Proxy::parse(&format!("{scheme}://{login}proxy.example")).unwrap()
}

fn hub() -> Host {
    Host::parse("hub.example", 8883).unwrap()
}

/// What comes of these answers: all that is sent, and how it ends.
fn negotiate(
    proxy: &Proxy,
    host: &Host,
    answers: &[&[u8]],
) -> (Vec<Vec<u8>>, Result<Step, Refusal>) {
    let (mut negotiation, first) = Negotiation::start(proxy, host);
    let mut sent = vec![first];
    let mut last = Ok(Step::Receive);
    for answer in answers {
        last = negotiation.receive(answer);
        match &last {
            Ok(Step::Send(bytes)) => sent.push(bytes.clone()),
            Ok(Step::Receive) => {}
            Ok(Step::Through) | Err(_) => break,
        }
    }
    (sent, last)
}

fn end(proxy: &Proxy, answers: &[&[u8]]) -> Result<Step, Refusal> {
    negotiate(proxy, &hub(), answers).1
}

#[test]
fn http_asks_for_the_host_with_the_login_if_there_is_one() {
    let ok: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
    let (sent, last) = negotiate(&proxy("http", ""), &hub(), &[ok]);
    assert_eq!(last, Ok(Step::Through));
    assert_eq!(
        sent,
        [b"CONNECT hub.example:8883 HTTP/1.1\r\nHost: hub.example:8883\r\n\r\n".to_vec()]
    );
    let v6 = Host::parse("[2001:db8::1]:443", 443).unwrap();
    let (sent, _) = negotiate(&proxy("http", LOGIN), &v6, &[]);
    let sent = String::from_utf8(sent[0].clone()).unwrap();
    assert!(sent.starts_with("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"));
    assert!(sent.contains("\r\nProxy-Authorization: Basic bWU6aHVudGVyMnNlY3JldA==\r\n"));
}

#[test]
fn http_answers_may_come_in_pieces_and_with_headers() {
    let answer = b"HTTP/1.0 200\r\nVia: a\r\nProxy-Agent: b\r\n\r\n";
    let pieces: Vec<&[u8]> = answer.chunks(1).collect();
    assert_eq!(end(&proxy("http", ""), &pieces), Ok(Step::Through));
}

#[test]
fn http_refusals_are_told_apart() {
    let of = |login: &str, answer: &str| end(&proxy("http", login), &[answer.as_bytes()]);
    let wanted = "HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\n\r\n";
    assert_eq!(of("", wanted), Err(Refusal::LoginWanted));
    assert_eq!(of(LOGIN, wanted), Err(Refusal::LoginRefused));
    let unauthorised = of(LOGIN, "HTTP/1.0 401 Unauthorized\r\n\r\n");
    assert_eq!(unauthorised, Err(Refusal::LoginRefused));
    let forbidden = Refusal::Status(403, "Forbidden here".into());
    assert_eq!(
        of("", "HTTP/1.1 403 Forbidden here\r\n\r\n"),
        Err(forbidden)
    );
    let echo = "HTTP/1.1 500 me hunter2secret bWU6aHVudGVyMnNlY3JldA==\r\n\r\n";
    let refusal = of(LOGIN, echo).unwrap_err().to_string();
    assert_eq!(refusal, "refuses the connection: 500 me *** ***");
    let long = format!("HTTP/1.1 502 {}\r\n\r\n", "x".repeat(9_000));
    assert!(of("", &long).unwrap_err().to_string().len() < 100);
}

#[test]
fn what_is_no_answer_of_an_http_proxy_is_not_understood() {
    let large = format!("HTTP/1.1 200 X\r\nA: {}", "x".repeat(HEAD_BYTES_MAX));
    for answer in [
        "SSH-2.0-OpenSSH_9.2",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 20 X\r\n\r\n",
        "HTTP/1.1 2000 X\r\n\r\n",
        "HTTP/1.1 +20 X\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 X\r\n\r\nmore",
        &large,
    ] {
        let end = end(&proxy("http", ""), &[answer.as_bytes()]);
        assert_eq!(end, Err(Refusal::NotUnderstood), "{answer:.40}");
    }
}

const SOCKS_THROUGH: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

#[test]
fn socks_asks_by_name_or_address_without_a_login() {
    let socks = proxy("socks5", "");
    let (sent, last) = negotiate(&socks, &hub(), &[&[5, 0], SOCKS_THROUGH]);
    assert_eq!(last, Ok(Step::Through));
    let mut ask = vec![5, 1, 0, 3, 11];
    ask.extend(b"hub.example");
    ask.extend([0x22, 0xb3]);
    assert_eq!(sent, [vec![5, 1, 0], ask]);
    let v4 = Host::parse("192.0.2.1", 443).unwrap();
    let (sent, _) = negotiate(&socks, &v4, &[&[5, 0]]);
    assert_eq!(sent[1], [5, 1, 0, 1, 192, 0, 2, 1, 1, 187]);
    let v6 = Host::parse("[::1]", 443).unwrap();
    let (sent, _) = negotiate(&socks, &v6, &[&[5, 0]]);
    assert_eq!(sent[1][..4], [5, 1, 0, 4]);
    assert_eq!(sent[1].len(), 22);
}

#[test]
fn socks_logs_in_when_the_proxy_wants_it() {
    let socks = proxy("socks5h", LOGIN);
    let (sent, last) = negotiate(&socks, &hub(), &[&[5, 2], &[1, 0], SOCKS_THROUGH]);
    assert_eq!(last, Ok(Step::Through));
    assert_eq!(sent[0], [5, 2, 0, 2]);
    assert_eq!(sent[1], b"\x01\x02me\x0dhunter2secret");
    assert_eq!(end(&socks, &[&[5, 0], SOCKS_THROUGH]), Ok(Step::Through));
    assert_eq!(end(&socks, &[&[5, 2], &[1, 1]]), Err(Refusal::LoginRefused));
    assert_eq!(end(&socks, &[&[5, 255]]), Err(Refusal::LoginRefused));
    let without = proxy("socks5", "");
    assert_eq!(end(&without, &[&[5, 255]]), Err(Refusal::LoginWanted));
}

#[test]
fn socks_replies_may_come_in_pieces_and_name_any_address() {
    let socks = proxy("socks5", "");
    let v6 = [&[5, 0, 0, 4][..], &[0; 18]].concat();
    let name = [&[5, 0, 0, 3, 3][..], b"abc", &[0, 1]].concat();
    for reply in [SOCKS_THROUGH.to_vec(), v6, name] {
        let pieces: Vec<&[u8]> = [5, 0].chunks(1).chain(reply.chunks(1)).collect();
        assert_eq!(end(&socks, &pieces), Ok(Step::Through), "{reply:?}");
    }
}

#[test]
fn socks_refusals_are_told_in_words_and_nonsense_is_not_understood() {
    let socks = proxy("socks5", "");
    let words = end(&socks, &[&[5, 0], &[5, 5, 0, 1]]).unwrap_err();
    assert_eq!(
        words.to_string(),
        "refuses the connection: the host refuses the connection"
    );
    let not_understood: [&[&[u8]]; 7] = [
        &[&[4, 0]],
        &[&[5, 1]],
        &[&[5, 2]],
        &[&[5, 0, 0]],
        &[&[5, 0], &[4, 0, 0, 1]],
        &[&[5, 0], &[5, 0, 0, 9]],
        &[&[5, 0], &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]],
    ];
    for answers in not_understood {
        assert_eq!(
            end(&socks, answers),
            Err(Refusal::NotUnderstood),
            "{answers:?}"
        );
    }
}

#[test]
fn whatever_a_proxy_sends_is_survived_and_no_login_is_told() {
    spotflow_fuzz::fuzz("proxy's answers", |choices| {
        let proxy = match choices.bool() {
            true => proxy("http", LOGIN),
            false => proxy("socks5", LOGIN),
        };
        let host = hub();
        let (mut negotiation, _) = Negotiation::start(&proxy, &host);
        for _ in 0..4 {
            let mut answer = match choices.byte() % 4 {
                0 => b"HTTP/1.1 403 hunter2secret me\r\n\r\n".to_vec(),
                1 => vec![5, 2],
                2 => vec![1, 0],
                _ => SOCKS_THROUGH.to_vec(),
            };
            choices.damage(&mut answer);
            if let Err(refusal) = negotiation.receive(&answer) {
                assert!(!refusal.to_string().contains("hunter2secret"));
                return;
            }
        }
    });
}
