//! What of the database is mounted into a container: its directory, or the file alone, of which the rest would stay in
//! the container and end with it.

use std::fs;

use spotflow_device::Error;

use crate::small_disk::{mount, on_a_disk_of};
use crate::support::sender;

#[test]
fn a_file_that_is_mounted_by_itself_is_refused_and_its_directory_is_not() {
    on_a_disk_of(
        8192,
        "containers::a_file_that_is_mounted_by_itself_is_refused_and_its_directory_is_not",
        |disk| {
            let stage = disk.stage();
            let client = stage.start();
            stage.cut_off();
            sender(&client).enqueue_message("from outside").unwrap();
            client.close();
            // As `-v /srv/device.db:/data/device.db` does.
            let inside = disk.path().join("a container\'s");
            fs::create_dir(&inside).unwrap();
            let file = inside.join("device.db");
            fs::write(&file, "").unwrap();
            mount(&["--bind", stage.database().to_str().unwrap()], &file);
            for _ in 0..2 {
                let error = stage.device_on(&file).start().unwrap_err();
                assert!(
                    matches!(
                        error,
                        Error::InvalidArgument {
                            argument: "database",
                            ..
                        }
                    ),
                    "{error:?}"
                );
                assert!(error.to_string().contains("mount its directory"), "{error}");
                assert!(
                    error.to_string().contains(file.to_str().unwrap()),
                    "{error}"
                );
            }
            assert_eq!(
                fs::read_dir(&inside).unwrap().count(),
                1,
                "it leaves nothing"
            );

            // As `-v /srv:/data` does.
            let inside = disk.path().join("another");
            fs::create_dir(&inside).unwrap();
            mount(
                &["--bind", stage.directory.path().to_str().unwrap()],
                &inside,
            );
            stage.platform.accept_connections(true).unwrap();
            let client = stage.device_on(&inside.join("device.db")).start().unwrap();
            client.wait_enqueued_messages_sent().unwrap();
            assert_eq!(stage.received(), ["from outside"]);
        },
    );
}
