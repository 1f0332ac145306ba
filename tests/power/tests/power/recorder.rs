//! Records every change of the files in a watched directory, in their order.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// A file, whatever its name is at the time.
pub type FileId = usize;

/// The files of a directory by their names.
pub type Image = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Clone)]
pub enum Operation {
    Create {
        name: String,
        file: FileId,
    },
    Write {
        file: FileId,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Makes the file that long, unless it is longer.
    Allocate {
        file: FileId,
        bytes: u64,
    },
    Resize {
        file: FileId,
        bytes: u64,
    },
    Sync {
        file: FileId,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    SyncDirectory,
}

impl Operation {
    pub fn is_sync(&self) -> bool {
        matches!(self, Operation::Sync { .. } | Operation::SyncDirectory)
    }
}

/// What was in the directory, all of it on the disk, and what happened then.
#[derive(Debug, Default)]
pub struct Recording {
    pub before: Image,
    pub operations: Vec<Operation>,
}

impl Recording {
    /// The ids of the files that were there before.
    pub fn ids_before(&self) -> BTreeMap<String, FileId> {
        let names = self.before.keys().cloned();
        names.enumerate().map(|(id, name)| (name, id)).collect()
    }
}

/// What an `open` asks for, beside the file.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    pub creates: bool,
    pub truncates: bool,
}

/// A directory that is recorded, until it is dropped.
pub struct Watch(Arc<Directory>);

pub struct Directory {
    path: String,
    log: Mutex<Log>,
    failures: Mutex<Failures>,
}

/// The calls that fail as on a disk that goes bad (EIO), or of which the quota is used up (EDQUOT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Read,
    Write,
    Sync,
    /// What makes a file longer.
    Grow,
}

/// So many calls of a kind pass, then so many fail.
#[derive(Default)]
struct Failures {
    of: Option<Call>,
    pass: usize,
    fail: usize,
    failed: usize,
}

struct Log {
    recording: Recording,
    names: BTreeMap<String, FileId>,
    files: usize,
}

/// What a file descriptor stands for.
#[derive(Clone)]
pub struct Target {
    directory: Arc<Directory>,
    /// `None`: the directory itself.
    file: Option<FileId>,
}

#[derive(Default)]
struct Watches {
    directories: Vec<Arc<Directory>>,
    descriptors: HashMap<i32, Target>,
}

/// So that the calls of everybody else cost next to nothing.
static WATCHED: AtomicUsize = AtomicUsize::new(0);
static DESCRIPTORS: [AtomicBool; 4096] = [const { AtomicBool::new(false) }; 4096];
static WATCHES: LazyLock<Mutex<Watches>> = LazyLock::new(Mutex::default);

fn watches() -> MutexGuard<'static, Watches> {
    WATCHES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn descriptor(fd: i32) -> Option<&'static AtomicBool> {
    DESCRIPTORS.get(usize::try_from(fd).ok()?)
}

/// The watched directory that the path leads into, and the name in it; an empty one for itself.
pub fn find(path: &str) -> Option<(Arc<Directory>, String)> {
    if WATCHED.load(Ordering::Acquire) == 0 {
        return None;
    }
    watches().directories.iter().find_map(|directory| {
        let rest = path.strip_prefix(directory.path.as_str())?;
        let name = match rest {
            "" | "/" => "",
            _ => rest.strip_prefix('/')?,
        };
        Some((Arc::clone(directory), name.to_owned()))
    })
}

/// The file or directory, if it is watched.
pub fn file(fd: i32) -> Option<Target> {
    let known = descriptor(fd)?.load(Ordering::Acquire);
    known.then(|| watches().descriptors.get(&fd).cloned())?
}

pub fn closed(fd: i32) {
    if let Some(known) = descriptor(fd)
        && known.swap(false, Ordering::AcqRel)
    {
        watches().descriptors.remove(&fd);
    }
}

/// The files of a directory as they are.
pub fn files(directory: &Path) -> Image {
    let entries = fs::read_dir(directory).expect("the directory");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a plain name");
            (name, fs::read(entry.path()).expect("a file"))
        })
        .collect()
}

impl Watch {
    /// Records what happens in the directory from now on.
    pub fn begin(directory: &Path) -> Watch {
        let directory = directory.canonicalize().expect("the directory");
        let recording = Recording {
            before: files(&directory),
            operations: Vec::new(),
        };
        let names = recording.ids_before();
        let directory = Arc::new(Directory {
            path: directory.to_str().expect("a plain path").to_owned(),
            log: Mutex::new(Log {
                files: names.len(),
                names,
                recording,
            }),
            failures: Mutex::default(),
        });
        watches().directories.push(Arc::clone(&directory));
        WATCHED.fetch_add(1, Ordering::AcqRel);
        Watch(directory)
    }

    /// How many operations there were so far.
    pub fn now(&self) -> usize {
        self.0.log().recording.operations.len()
    }

    /// From now on so many of these calls pass, and so many behind them fail.
    pub fn fail(&self, of: Call, pass: usize, fail: usize) {
        *self.0.failures() = Failures {
            of: Some(of),
            pass,
            fail,
            failed: 0,
        };
    }

    /// How many have failed.
    pub fn failed(&self) -> usize {
        self.0.failures().failed
    }

    /// No more calls fail; returns how many did.
    pub fn heal(&self) -> usize {
        std::mem::take(&mut *self.0.failures()).failed
    }

    /// Ends the recording.
    pub fn end(&self) -> Recording {
        std::mem::take(&mut self.0.log().recording)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watches = watches();
        watches.directories.retain(|it| !Arc::ptr_eq(it, &self.0));
        WATCHED.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The operations are under the log's lock, so that they are recorded in the order in which they are
/// done; and a sync counts only when it is over.
impl Directory {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn open(self: Arc<Self>, name: &str, opened: Opened, real: impl FnOnce() -> i32) -> i32 {
        let mut log = self.log();
        let fd = real();
        if fd < 0 {
            return fd;
        }
        let file = match (name, log.names.get(name).copied()) {
            ("", _) => None,
            (_, Some(file)) => Some(file),
            (_, None) if opened.creates => {
                let file = log.files;
                log.files += 1;
                log.names.insert(name.to_owned(), file);
                let name = name.to_owned();
                log.recording
                    .operations
                    .push(Operation::Create { name, file });
                Some(file)
            }
            (_, None) => return fd,
        };
        if let Some(file) = file.filter(|_| opened.truncates) {
            let truncated = Operation::Resize { file, bytes: 0 };
            log.recording.operations.push(truncated);
        }
        drop(log);
        let known = descriptor(fd).expect("few descriptors are open");
        let target = Target {
            directory: self,
            file,
        };
        watches().descriptors.insert(fd, target);
        known.store(true, Ordering::Release);
        fd
    }

    pub fn rename(&self, from: &str, to: &str, real: impl FnOnce() -> i32) -> i32 {
        let mut log = self.log();
        let done = real();
        if done == 0
            && let Some(file) = log.names.remove(from)
        {
            log.names.insert(to.to_owned(), file);
            log.recording.operations.push(Operation::Rename {
                from: from.to_owned(),
                to: to.to_owned(),
            });
        }
        done
    }

    pub fn remove(&self, name: &str, real: impl FnOnce() -> i32) -> i32 {
        let mut log = self.log();
        let done = real();
        if done == 0 && log.names.remove(name).is_some() {
            let name = name.to_owned();
            log.recording.operations.push(Operation::Remove { name });
        }
        done
    }
}

impl Target {
    /// Whether this call fails, of one to a file.
    pub fn fails(&self, call: Call) -> bool {
        let mut failures = self.directory.failures();
        if self.file.is_none() || failures.of != Some(call) {
            return false;
        }
        if failures.pass > 0 {
            failures.pass -= 1;
            return false;
        }
        let fails = failures.fail > 0;
        if fails {
            failures.fail -= 1;
            failures.failed += 1;
        }
        fails
    }

    fn record(&self, log: &mut Log, operation: impl FnOnce(FileId) -> Operation) {
        if let Some(file) = self.file {
            log.recording.operations.push(operation(file));
        }
    }

    pub fn write(
        &self,
        offset: u64,
        copy: impl FnOnce(usize) -> Vec<u8>,
        real: impl FnOnce() -> isize,
    ) -> isize {
        let mut log = self.directory.log();
        let written = real();
        if let Ok(count) = usize::try_from(written) {
            let bytes = copy(count);
            self.record(&mut log, |file| Operation::Write {
                file,
                offset,
                bytes,
            });
        }
        written
    }

    pub fn resize(&self, bytes: u64, real: impl FnOnce() -> i32) -> i32 {
        let mut log = self.directory.log();
        let done = real();
        if done == 0 {
            self.record(&mut log, |file| Operation::Resize { file, bytes });
        }
        done
    }

    /// Makes the file that long, unless it is longer.
    pub fn allocate(&self, bytes: u64, real: impl FnOnce() -> i32) -> i32 {
        let mut log = self.directory.log();
        let done = real();
        if done == 0 {
            self.record(&mut log, |file| Operation::Allocate { file, bytes });
        }
        done
    }

    pub fn sync(&self, real: impl FnOnce() -> i32) -> i32 {
        let mut log = self.directory.log();
        let done = real();
        if done == 0 {
            let synced = match self.file {
                Some(file) => Operation::Sync { file },
                None => Operation::SyncDirectory,
            };
            log.recording.operations.push(synced);
        }
        done
    }
}
