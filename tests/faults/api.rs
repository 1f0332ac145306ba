//! The HTTP API refuses, fails, lies, or does not answer.

mod answers;
mod refusals;
mod silence;

use spotflow_device::{DeviceClient, Error};

use crate::support::{PATIENCE, sender};

fn last_error(client: &DeviceClient) -> Option<Error> {
    client.status().last_error
}

fn assert_works(client: &DeviceClient) {
    let sent = sender(client).send_message_timeout("it works", PATIENCE);
    sent.expect("a Message is sent");
}
