//! The simulated disk: what a power cut can leave of recorded operations. README.md has the model and
//! its sources.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use fastrand::Rng;

use crate::recorder::{FileId, Image, Operation, Recording};

/// What a disk writes whole, or not at all.
const SECTOR_BYTES: usize = 512;

/// The disk after some of the operations.
pub struct Disk {
    files: HashMap<FileId, File>,
    /// The names as of the last sync of the directory.
    synced_names: BTreeMap<String, FileId>,
    /// All names.
    names: BTreeMap<String, FileId>,
    /// What happened to names since that sync.
    renamings: Vec<Renaming>,
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    current: Vec<u8>,
    /// Since the last sync.
    changes: Vec<Change>,
}

enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize { bytes: usize },
}

#[derive(Clone)]
enum Renaming {
    Create {
        name: String,
        file: FileId,
    },
    Rename {
        from: String,
        to: String,
        file: FileId,
    },
    Remove {
        name: String,
    },
}

/// How the disk fares in a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All is kept: as after a kill.
    Kept,
    /// All that was not synced is lost.
    Lost,
    /// What came first is kept, in each file up to a moment of its own; what was being written then is
    /// torn.
    InOrder,
    /// Each sector holds any of its versions since the last sync; so does each size, and each name is
    /// changed or not.
    Shuffled,
    /// As `Shuffled`, but few sectors are lost.
    MostlyKept,
    /// As `Shuffled`, but few sectors are kept.
    MostlyLost,
    /// As `Shuffled`, and some of what was being written is garbage.
    Garbage,
}

const RANDOM_FATES: [Fate; 6] = [
    Fate::Lost,
    Fate::InOrder,
    Fate::Shuffled,
    Fate::MostlyKept,
    Fate::MostlyLost,
    Fate::Garbage,
];

impl Fate {
    pub fn random(random: &mut Rng) -> Fate {
        *random.choice(&RANDOM_FATES).expect("there are some")
    }
}

impl Disk {
    /// Before the first operation: all that is there is on the disk.
    pub fn new(recording: &Recording) -> Disk {
        let names = recording.ids_before();
        let files = names.iter().map(|(name, id)| {
            let synced = recording.before[name].clone();
            let current = synced.clone();
            let changes = Vec::new();
            let file = File {
                synced,
                current,
                changes,
            };
            (*id, file)
        });
        Disk {
            files: files.collect(),
            synced_names: names.clone(),
            names,
            renamings: Vec::new(),
        }
    }

    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { name, file } => {
                self.files.insert(*file, File::default());
                let (name, file) = (name.clone(), *file);
                self.rename(Renaming::Create { name, file });
            }
            Operation::Rename { from, to } => {
                let (from, to, file) = (from.clone(), to.clone(), self.names[from]);
                self.rename(Renaming::Rename { from, to, file });
            }
            Operation::Remove { name } => self.rename(Renaming::Remove { name: name.clone() }),
            Operation::SyncDirectory => {
                self.synced_names = self.names.clone();
                self.renamings.clear();
            }
            Operation::Write {
                file,
                offset,
                bytes,
            } => {
                let (offset, bytes) = (*offset as usize, bytes.clone());
                self.file(*file).change(Change::Write { offset, bytes });
            }
            Operation::Resize { file, bytes } => {
                let bytes = *bytes as usize;
                self.file(*file).change(Change::Resize { bytes });
            }
            Operation::Allocate { file, bytes } => {
                let file = self.file(*file);
                let bytes = file.current.len().max(*bytes as usize);
                file.change(Change::Resize { bytes });
            }
            Operation::Sync { file } => self.file(*file).sync(),
        }
    }

    fn file(&mut self, file: FileId) -> &mut File {
        self.files.get_mut(&file).expect("it was created")
    }

    fn rename(&mut self, renaming: Renaming) {
        renaming.apply(&mut self.names);
        self.renamings.push(renaming);
    }

    /// The operations of a recording that began with all that is here, for this disk.
    pub fn goes_on(&self, recording: &Recording) -> Vec<Operation> {
        let names = recording.ids_before().into_iter();
        let known: HashMap<FileId, FileId> = names
            .map(|(name, file)| (file, self.names[&name]))
            .collect();
        let unused = self.files.keys().max().map_or(0, |last| last + 1);
        let here = |file: FileId| known.get(&file).copied().unwrap_or(unused + file);
        let mut operations = recording.operations.clone();
        for operation in &mut operations {
            match operation {
                Operation::Create { file, .. }
                | Operation::Write { file, .. }
                | Operation::Resize { file, .. }
                | Operation::Allocate { file, .. }
                | Operation::Sync { file } => *file = here(*file),
                _ => {}
            }
        }
        operations
    }

    /// The name of a file, if it has one.
    pub fn name_of(&self, file: FileId) -> Option<&str> {
        let mut names = self.names.iter();
        names.find_map(|(name, id)| (*id == file).then_some(name.as_str()))
    }

    /// What is there when the power is back.
    pub fn survive(&self, fate: Fate, random: &mut Rng) -> Image {
        let names = self.surviving_names(fate, random);
        let survive = |(name, file): (String, FileId)| {
            let bytes = self.files[&file].survive(fate, random);
            (name, bytes)
        };
        names.into_iter().map(survive).collect()
    }

    fn surviving_names(&self, fate: Fate, random: &mut Rng) -> BTreeMap<String, FileId> {
        let mut names = self.synced_names.clone();
        let count = self.renamings.len();
        let until = match fate {
            Fate::Kept => count,
            Fate::Lost => 0,
            // The journal of a file system keeps this order.
            Fate::InOrder => random.usize(0..=count),
            _ if random.bool() => random.usize(0..=count),
            // POSIX does not ask for any.
            _ => {
                let kept = self.renamings.iter().filter(|_| random.bool());
                kept.for_each(|renaming| renaming.apply(&mut names));
                return names;
            }
        };
        let kept = self.renamings.iter().take(until);
        kept.for_each(|renaming| renaming.apply(&mut names));
        names
    }
}

impl Renaming {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            Renaming::Create { name, file } => {
                names.insert(name.clone(), *file);
            }
            Renaming::Rename { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Renaming::Remove { name } => {
                names.remove(name);
            }
        }
    }
}

impl File {
    fn change(&mut self, change: Change) {
        let before = self.current.len();
        let after = change.length(before);
        self.current.resize(before.max(after), 0);
        change.apply(&mut self.current, before, |_| true);
        self.current.truncate(after);
        self.changes.push(change);
    }

    fn sync(&mut self) {
        // Only what changed is copied: files are large, and syncs are many.
        let length = self.current.len();
        self.synced.resize(length, 0);
        for change in self.changes.drain(..) {
            let changed = change.bytes(usize::MAX);
            let changed = changed.start.min(length)..changed.end.min(length);
            self.synced[changed.clone()].copy_from_slice(&self.current[changed]);
        }
    }

    fn survive(&self, fate: Fate, random: &mut Rng) -> Vec<u8> {
        match fate {
            _ if self.changes.is_empty() => self.synced.clone(),
            Fate::Lost => self.synced.clone(),
            Fate::Kept => self.current.clone(),
            Fate::InOrder => self.with(&self.kept_in_order(random)),
            Fate::Shuffled | Fate::MostlyKept | Fate::MostlyLost => {
                self.with(&self.kept_of_each(fate, random))
            }
            Fate::Garbage => {
                let mut bytes = self.with(&self.kept_of_each(fate, random));
                self.spoil(&mut bytes, random);
                bytes
            }
        }
    }

    fn with(&self, kept: &Kept) -> Vec<u8> {
        let lengths = self.lengths();
        let mut bytes = self.synced.clone();
        bytes.resize(lengths.iter().copied().max().unwrap_or(0), 0);
        let mut seen = BTreeMap::<usize, usize>::new();
        for (change, length) in self.changes.iter().zip(lengths) {
            change.apply(&mut bytes, length, |sector| {
                let versions = seen.entry(sector).or_default();
                *versions += 1;
                *versions <= kept.sectors[&sector]
            });
        }
        bytes.truncate(kept.length);
        bytes
    }

    /// The lengths that the file had since the last sync, one before each change, and the last.
    fn lengths(&self) -> Vec<usize> {
        let mut lengths = vec![self.synced.len()];
        for change in &self.changes {
            lengths.push(change.length(lengths[lengths.len() - 1]));
        }
        lengths
    }

    /// How many versions each sector has had after so many changes.
    fn versions(&self, until: usize) -> BTreeMap<usize, usize> {
        let mut versions = BTreeMap::new();
        for (change, length) in self.changes[..until].iter().zip(self.lengths()) {
            for sector in change.sectors(length) {
                *versions.entry(sector).or_default() += 1;
            }
        }
        versions
    }

    fn kept_in_order(&self, random: &mut Rng) -> Kept {
        let until = random.usize(0..=self.changes.len());
        let before = self.versions(until.saturating_sub(1));
        let torn = self.versions(until);
        let mut sectors = self.versions(self.changes.len());
        for (sector, kept) in &mut sectors {
            let from = before.get(sector).copied().unwrap_or(0);
            let to = torn.get(sector).copied().unwrap_or(0);
            *kept = random.usize(from..=to);
        }
        let length = self.lengths()[until];
        Kept { sectors, length }
    }

    fn kept_of_each(&self, fate: Fate, random: &mut Rng) -> Kept {
        let mut sectors = self.versions(self.changes.len());
        for versions in sectors.values_mut() {
            let is_rare = random.u8(0..20) == 0;
            *versions = match fate {
                Fate::MostlyKept if !is_rare => *versions,
                Fate::MostlyLost if !is_rare => 0,
                _ => random.usize(0..=*versions),
            };
        }
        let lengths = self.lengths();
        let length = match random.u8(0..4) {
            0 => lengths[random.usize(0..lengths.len())],
            _ => lengths[lengths.len() - 1],
        };
        Kept { sectors, length }
    }

    /// Garbage in place of what was written since the last sync, and never beside it: SQLite's "powersafe
    /// overwrite".
    fn spoil(&self, bytes: &mut [u8], random: &mut Rng) {
        for _ in 0..random.usize(1..=3) {
            let change = &self.changes[random.usize(0..self.changes.len())];
            if let Change::Write { offset, bytes: new } = change {
                let end = offset + new.len();
                let from = offset + random.usize(0..=new.len());
                let to = (from - from % SECTOR_BYTES + SECTOR_BYTES).min(end);
                let range = from.min(bytes.len())..to.min(bytes.len());
                bytes[range]
                    .iter_mut()
                    .for_each(|byte| *byte = random.u8(..));
            }
        }
    }
}

/// What a file has kept.
struct Kept {
    /// How many of its versions each changed sector has seen.
    sectors: BTreeMap<usize, usize>,
    length: usize,
}

impl Change {
    /// The length of the file after it.
    fn length(&self, before: usize) -> usize {
        match self {
            Change::Write { offset, bytes } => before.max(offset + bytes.len()),
            Change::Resize { bytes } => *bytes,
        }
    }

    /// Where it changes a file of this length. What is cut off reads as zeros if the file grows again.
    fn bytes(&self, length: usize) -> Range<usize> {
        match self {
            Change::Write { offset, bytes } => *offset..offset + bytes.len(),
            Change::Resize { bytes } => *bytes..length.max(*bytes),
        }
    }

    fn sectors(&self, length: usize) -> Range<usize> {
        let Range { start, end } = self.bytes(length);
        start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES)
    }

    /// Changes the sectors that are kept of a file of this length; `file` is long enough.
    fn apply(&self, file: &mut [u8], length: usize, mut is_kept: impl FnMut(usize) -> bool) {
        let Range { start, end } = self.bytes(length);
        for sector in self.sectors(length) {
            let from = start.max(sector * SECTOR_BYTES);
            let to = end.min((sector + 1) * SECTOR_BYTES);
            if is_kept(sector) && from < to {
                match self {
                    Change::Write { bytes, .. } => {
                        file[from..to].copy_from_slice(&bytes[from - start..to - start]);
                    }
                    Change::Resize { .. } => file[from..to].fill(0),
                }
            }
        }
    }
}
