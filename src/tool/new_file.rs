//! A file that a command makes: readable by its owner only, as there may be secrets in it, and never in another's place.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use super::failure::Failure;
use crate::store::private;

pub(crate) fn create(path: &Path) -> Result<File, Failure> {
    let created = private(OpenOptions::new().write(true).create_new(true)).open(path);
    created.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::Refused(format!(
            "{}: there is such a file, and none is overwritten: name a new one",
            path.display()
        )),
        _ => Failure::file(path)(error),
    })
}
