//! What the disk allows: appends to a file and syncs it, one record after the other, and prints the records per second.
//!
//! `bare_append FILE COUNT BYTES`; benches/compare/run.sh runs it beside the SDKs.

use std::fs::File;
use std::io::{self, Write};
use std::time::Instant;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, count, bytes] = arguments.as_slice() else {
        return Err(io::Error::other("bare_append FILE COUNT BYTES"));
    };
    let number = |text: &String| text.parse::<usize>().map_err(io::Error::other);
    let (count, record) = (number(count)?, vec![b'x'; number(bytes)?]);
    let mut file = File::create(path)?;
    let begun = Instant::now();
    for _ in 0..count {
        file.write_all(&record)?;
        // fdatasync on Linux.
        file.sync_data()?;
    }
    println!("{:.1}", count as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}
