//! Memory, phase by phase. The test says with lines on standard input what comes next:
//!
//! ```text
//! queue COUNT BYTES       stores so many Messages of this size, numbered by their message id
//! wait                    waits until all of them are sent
//! measure                 writes what is resident now, and the peak since it was measured last
//! ```
//!
//! Each is answered with a line. The device ends with its input.

use std::fs;
use std::io::{self, Write};
use std::time::Instant;

use spotflow_device::{Compression, DeviceClient, Durability, Message, StreamSender};

use crate::{Device, Result, status_field};

/// What the application hands over at once counts as its own memory, so it is kept small.
const BATCH_BYTES: usize = 100_000;

pub fn on_command(device: &Device<'_>, window: usize) -> Result<()> {
    let begun = Instant::now();
    let client = device
        .builder()
        .durability(Durability::KillSafe)
        .in_flight_window(window)
        .start()?;
    let sender = client.create_stream_sender(None, None, Compression::Uncompressed)?;
    println!(
        "start_seconds={:.3} pending={}",
        begun.elapsed().as_secs_f64(),
        client.pending_messages_count()
    );
    for line in io::stdin().lines() {
        io::stdout().flush()?;
        let line = line?;
        let begun = Instant::now();
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["queue", count, bytes] => queue(&sender, count.parse()?, bytes.parse()?)?,
            ["wait"] => client.wait_enqueued_messages_sent()?,
            ["measure"] => {
                measure(&client)?;
                continue;
            }
            _ => return Err(format!("there is no command {line:?}").into()),
        }
        println!("seconds={:.1}", begun.elapsed().as_secs_f64());
    }
    client.close();
    Ok(())
}

fn queue(sender: &StreamSender, count: usize, bytes: usize) -> Result<()> {
    let at_a_time = (BATCH_BYTES / bytes).max(1);
    for begin in (0..count).step_by(at_a_time) {
        let end = count.min(begin + at_a_time);
        sender.enqueue_messages((begin..end).map(|i| {
            Message::new(vec![b'x'; bytes])
                .batch_id("b")
                .message_id(i.to_string())
        }))?;
    }
    Ok(())
}

fn measure(client: &DeviceClient) -> Result<()> {
    println!(
        "peak_kb={} resident_kb={} pending={}",
        status_field("VmHWM:")?,
        status_field("VmRSS:")?,
        client.pending_messages_count()
    );
    // "5": the peak begins anew (proc_pid_clear_refs(5)).
    Ok(fs::write("/proc/self/clear_refs", "5")?)
}
