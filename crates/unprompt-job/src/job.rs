//! A job's folder.

use crate::{
    Item, JobError, Manifest, OpenPart, PartFormat, Shard, VERSION, Work,
    error::Result,
    list::{self, List, Names},
    manifest::{FIRST_VERSION, FORMAT, difference},
    part,
    record::{self, Column},
};
use serde_json::{Map, Value};
use std::{
    fmt, fs, io,
    ops::Range,
    path::{Path, PathBuf},
};
use unprompt_files::{Lock, write_by};

const MANIFEST: &str = "job.json";
const LOCKS: &str = "locks";
const PARTS: &str = "parts";
const LATER: &str = "lists";
/// A larger manifest is none.
const LARGEST_MANIFEST: u64 = 16 << 20;
/// Items of a part where nothing else is asked for: about so many parts, so that shards can share them,
/// of no more items than this.
const USUAL_PARTS: u64 = 64;
const MOST_PART_ITEMS: u64 = 1000;
const FEWEST_PART_ITEMS: u64 = 16;

/// Called before each step that changes the disk, and its error ends the work there: tests let the
/// system fail so.
pub type Step = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

/// A job that was begun.
pub struct Job {
    folder: PathBuf,
    manifest: Manifest,
    list: List,
    columns: Vec<Column>,
    step: Step,
}

/// What a job is begun with, or must have been begun with.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// What is done.
    pub work: Work,
    /// Where the items come from.
    pub inputs: Map<String, Value>,
    /// How parts are written; as the job has it where nothing is asked for, parquet for a new one.
    pub part_format: Option<PartFormat>,
    /// Items of a part; as the job has it where nothing is asked for.
    pub part_items: Option<u64>,
}

impl Job {
    /// Opens the job of a folder.
    ///
    /// # Errors
    /// When there is none, it was made by a later version, or its list is not what it was.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::open_if_there(folder, Box::new(|| Ok(())))?
            .ok_or_else(|| JobError::refused(folder, "no job was begun here"))
    }

    /// Goes on with the job of a folder, or begins one with the items of a list, which is asked for
    /// only then. The flag says whether it was there.
    ///
    /// # Errors
    /// As [`open`](Self::open); when the job that is there is another one; when the list is empty or
    /// nothing can be written.
    pub fn open_or_begin<I: Iterator<Item = Item>>(
        folder: &Path,
        new: &NewJob,
        items: impl FnOnce() -> std::result::Result<I, JobError>,
    ) -> Result<(Self, bool)> {
        Self::open_or_begin_by(folder, new, items, Box::new(|| Ok(())))
    }

    /// The same with a function that is called before each step that changes the disk.
    ///
    /// # Errors
    /// As [`open_or_begin`](Self::open_or_begin), and those of `step`.
    pub fn open_or_begin_by<I: Iterator<Item = Item>>(
        folder: &Path,
        new: &NewJob,
        items: impl FnOnce() -> std::result::Result<I, JobError>,
        step: Step,
    ) -> Result<(Self, bool)> {
        for name in [LOCKS, PARTS] {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(JobError::io(&path))?;
        }
        // Shards that begin together wait here for the first one's list.
        let lock = Lock::acquire(&folder.join(LOCKS).join("begin.lock"), || ());
        let found = folder.join(MANIFEST).is_file();
        if !found {
            begin(folder, new, items()?, &step)?;
        }
        let job = Self::open_if_there(folder, step)?
            .ok_or_else(|| JobError::refused(folder, "the job went away while it was begun"))?;
        drop(lock);
        job.check(new)?;
        Ok((job, found))
    }

    fn open_if_there(folder: &Path, step: Step) -> Result<Option<Self>> {
        let path = folder.join(MANIFEST);
        let bytes = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(found) if found.len() > LARGEST_MANIFEST => {
                return Err(JobError::damaged(&path, "this is no job: it is too long"));
            }
            _ => fs::read(&path).map_err(JobError::io(&path))?,
        };
        let failed = |error: serde_json::Error| {
            JobError::damaged(&path, format!("this is no job, or a damaged one: {error}"))
        };
        let value: Value = serde_json::from_slice(&bytes).map_err(failed)?;
        let version = value["version"].as_u64().unwrap_or_default();
        if value["format"] != FORMAT || version == 0 {
            return Err(JobError::damaged(&path, "this is no job"));
        }
        if version > u64::from(VERSION) {
            let message = format!(
                "the job is of version {version}, and this program knows those up to {VERSION}; use a later one"
            );
            return Err(JobError::damaged(&path, message));
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(failed)?;
        if manifest.part_items == 0 {
            return Err(JobError::damaged(&path, "its parts have no items"));
        }
        let mut list = List::open(
            &folder.join(list::NAME),
            manifest.items,
            manifest.part_items,
            &manifest.list_sha256,
        )?;
        if manifest.version > FIRST_VERSION {
            loop {
                let later = later_path(folder, list.later() + 1);
                if !later.is_file() {
                    break;
                }
                list.add(&later)?;
            }
        }
        Ok(Some(Self {
            folder: folder.to_owned(),
            columns: record::all(&manifest.work.columns),
            manifest,
            list,
            step,
        }))
    }

    /// Refuses to go on with something else than what was begun.
    fn check(&self, new: &NewJob) -> Result<()> {
        let Manifest {
            work,
            inputs,
            part_format,
            part_items,
            ..
        } = &self.manifest;
        let other = |what: &str, before: String, now: String| {
            format!("the {what} was {before} when the job was begun, and is {now} now")
        };
        let difference = work
            .difference(&new.work)
            .or_else(|| difference("input", inputs, &new.inputs))
            .or_else(|| {
                let format = new.part_format.filter(|format| format != part_format)?;
                let name = |format: PartFormat| format.extension().to_owned();
                Some(other("format", name(*part_format), name(format)))
            })
            .or_else(|| {
                let items = new.part_items.filter(|items| items != part_items)?;
                let before = part_items.to_string();
                Some(other("size of a part", before, items.to_string()))
            });
        match difference {
            Some(message) => Err(JobError::refused(&self.folder, message)),
            None => Ok(()),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the job is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// `id`, the columns of the work, `error`.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many parts there are.
    pub fn parts(&self) -> usize {
        self.list.parts()
    }

    /// How many items there are, those that came later among them.
    pub fn len(&self) -> u64 {
        self.list.len()
    }

    /// Whether there are none, which no job is begun with.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What looks for items that are not in the list yet. It reads the list once and holds some 16 bytes a
    /// name.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn arrivals(&self) -> Result<Arrivals> {
        let mut names = Names::default();
        for part in 0..self.parts() {
            for item in self.items(part)? {
                names.insert(&item.id);
            }
        }
        Ok(Arrivals(names))
    }

    /// Adds items to the list, each of whose names is new, and gives the numbers of their parts. The job
    /// is of version 2 then.
    ///
    /// # Errors
    /// When another process has added some since the job was opened, or nothing can be written.
    pub fn append(&mut self, items: &[Item]) -> Result<Range<usize>> {
        let lock = Lock::acquire(&self.folder.join(LOCKS).join("begin.lock"), || ());
        let path = later_path(&self.folder, self.list.later() + 1);
        if path.exists() {
            let message = "another process has added items to this job; begin again";
            return Err(JobError::refused(&self.folder, message));
        }
        if self.manifest.version == FIRST_VERSION {
            let manifest = Manifest {
                version: VERSION,
                ..self.manifest.clone()
            };
            write_manifest(&self.folder, &manifest, &self.step)?;
            self.manifest = manifest;
        }
        let folder = self.folder.join(LATER);
        fs::create_dir_all(&folder).map_err(JobError::io(&folder))?;
        list::write_later(&path, items, &self.step).map_err(JobError::io(&path))?;
        let before = self.parts();
        self.list.add(&path)?;
        drop(lock);
        Ok(before..self.parts())
    }

    /// The items of a part.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn items(&self, part: usize) -> Result<Vec<Item>> {
        self.list.items(part)
    }

    /// How many items a part has.
    pub fn part_len(&self, part: usize) -> u64 {
        let range = self.list.range(part);
        range.end - range.start
    }

    /// The items of a part as messages name them, from 1.
    pub(crate) fn range(&self, part: usize) -> String {
        let range = self.list.range(part);
        format!("{} to {}", range.start + 1, range.end)
    }

    /// Where a whole part is.
    pub fn part_path(&self, part: usize) -> PathBuf {
        let extension = self.manifest.part_format.extension();
        self.folder
            .join(PARTS)
            .join(format!("part-{part:05}.{extension}"))
    }

    pub(crate) fn journal_path(&self, part: usize) -> PathBuf {
        self.folder
            .join(PARTS)
            .join(format!("part-{part:05}.journal"))
    }

    /// Takes a share of the job for this process, until the lock is dropped, and says which parts it
    /// consists of.
    ///
    /// # Errors
    /// When another process has it.
    pub fn take(&self, shard: Shard) -> Result<(Lock, Range<usize>)> {
        let path = self.lock_path(shard);
        let Some(lock) = Lock::try_acquire(&path) else {
            let message = format!("another process works on shard {shard} of this job already");
            return Err(JobError::refused(&self.folder, message));
        };
        Ok((lock, shard.parts(self.parts())))
    }

    fn lock_path(&self, shard: Shard) -> PathBuf {
        self.folder.join(LOCKS).join(shard.lock_name())
    }

    /// Opens a part to go on with it; `None` where it is whole.
    ///
    /// # Errors
    /// When another process has it, or it cannot be read or written.
    pub fn open_part(&self, part: usize) -> Result<Option<OpenPart>> {
        OpenPart::open(self, part)
    }

    /// How many records of a whole part are failures.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn failures(&self, part: usize) -> Result<u64> {
        part::failures(self, part)
    }

    pub(crate) fn step(&self) -> io::Result<()> {
        (self.step)()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("folder", &self.folder)
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

/// Writes the list, and then the manifest that says that there is a job.
fn begin(
    folder: &Path,
    new: &NewJob,
    items: impl Iterator<Item = Item>,
    step: &Step,
) -> Result<()> {
    let path = folder.join(list::NAME);
    let written = list::write(&path, items, step).map_err(JobError::io(&path))?;
    if written.items == 0 {
        let _ = fs::remove_file(&path);
        return Err(JobError::refused(folder, "the list has no items"));
    }
    let usual = written.items.div_ceil(USUAL_PARTS);
    let usual = usual.clamp(FEWEST_PART_ITEMS, MOST_PART_ITEMS);
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: FIRST_VERSION,
        work: new.work.clone(),
        inputs: new.inputs.clone(),
        part_format: new.part_format.unwrap_or(PartFormat::Parquet),
        items: written.items,
        part_items: new.part_items.unwrap_or(usual).max(1),
        list_sha256: written.sha256,
    };
    write_manifest(folder, &manifest, step)
}

fn write_manifest(folder: &Path, manifest: &Manifest, step: &Step) -> Result<()> {
    let path = folder.join(MANIFEST);
    let mut text =
        serde_json::to_vec_pretty(manifest).map_err(|error| JobError::damaged(&path, error))?;
    text.push(b'\n');
    write_by(&path, step, |file| io::Write::write_all(file, &text)).map_err(JobError::io(&path))
}

/// Where the items of an addition are, counted from 1.
fn later_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(LATER).join(format!("{number:05}.jsonl"))
}

/// Finds what a list does not have yet.
#[derive(Debug)]
pub struct Arrivals(Names);

impl Arrivals {
    /// Whether an item's name is in the list, or was new once.
    pub fn knows(&self, item: &Item) -> bool {
        self.0.contains(&item.id)
    }

    /// Whether an item's name is new; it is not from then on.
    pub fn is_new(&mut self, item: &Item) -> bool {
        self.0.insert(&item.id)
    }
}
