//! Content that the published SDK would have compressed when it sends it.

use super::fixture::Row;
use super::messages::{IDS, upgraded};

fn text(bytes: usize) -> Vec<u8> {
    b"temperature "
        .iter()
        .copied()
        .cycle()
        .take(bytes)
        .collect()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..bytes).map(|_| random.u8(..)).collect()
}

fn decompressed(body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut brotli::Decompressor::new(body, 4096), &mut content).unwrap();
    content
}

#[test]
fn content_is_compressed_where_its_sender_said_so_and_it_becomes_smaller() {
    for compression in ["BrotliFastest", "BrotliSmallestSize"] {
        let row = |content: &[u8]| Row {
            content: content.to_vec(),
            compression,
            close_option: "Close",
            ..Row::full()
        };
        let (long, noisy) = (text(3000), noise(300));
        let outbox = upgraded(&[row(&long), row(&noisy), row(b"")]);
        assert_eq!(
            outbox[0].properties,
            format!("{IDS}&content-encoding=br&complete-batch=true")
        );
        assert!(outbox[0].body.len() < 200);
        assert_eq!(decompressed(&outbox[0].body), long);
        for (pending, content) in outbox[1..].iter().zip([&noisy[..], b""]) {
            assert_eq!(pending.properties, format!("{IDS}&complete-batch=true"));
            assert_eq!(pending.body, content);
        }
    }
    let plain = upgraded(&[Row {
        content: text(3000),
        ..Row::default()
    }]);
    assert_eq!(plain[0].body, text(3000));
}

#[test]
fn content_over_the_limit_after_compression_is_uploaded() {
    let row = |content, compression, close_option| Row {
        content,
        compression,
        close_option,
        batch_id: Some("b"),
        ..Row::default()
    };
    let outbox = upgraded(&[
        row(noise(250_000), "None", "None"),
        row(noise(250_001), "None", "None"),
        row(noise(250_001), "BrotliFastest", "Close"),
        row(text(300_000), "BrotliFastest", "None"),
        row(noise(250_001), "None", "CloseOnly"),
    ]);
    let external = "batch-id=b&has-externalized-payload=true";
    let expected = [
        (false, "batch-id=b".to_owned()),
        (true, external.to_owned()),
        (true, format!("{external}&complete-batch=true")),
        (false, "batch-id=b&content-encoding=br".to_owned()),
        (
            true,
            format!("{external}&complete-batch=true&ignore-payload=true"),
        ),
    ];
    let found: Vec<(bool, String)> = outbox
        .iter()
        .map(|pending| (pending.upload, pending.properties.clone()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(outbox[1].body, noise(250_001));
}
