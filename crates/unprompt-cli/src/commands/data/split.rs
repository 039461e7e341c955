//! `unprompt data split`: captioned pictures divided into parts that share no caption.

use super::{
    captions::{Captions, load},
    report::{SourceReport, count_distinct, write_sources},
};
use crate::{
    Finished,
    arguments::{Common, DataSplit},
    output::Output,
    progress::Bar,
    records::{RecordWriter, TEXT_OR_JSON},
};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
};
use unprompt::{
    data::{Limits, PictureGroup, Sample, Source, SourceSpec, divide, picture_groups},
    image::{Format, sniff},
};
use unprompt_files::{folder_of, temporary_folder_in};

/// The list of a part, by the name that its reader looks for.
const LIST: &str = "pairs.csv";

#[derive(Serialize)]
struct Report {
    sources: Vec<SourceReport>,
    /// Pictures whose captions all repeat earlier ones, and which are in no part.
    repeats: usize,
    parts: Vec<PartReport>,
}

#[derive(Clone, Serialize)]
struct PartReport {
    path: String,
    pictures: usize,
    captions: usize,
    groups: usize,
}

pub(crate) fn run(common: &Common, arguments: &DataSplit) -> Result<Finished> {
    let Some(out) = &common.out else {
        bail!("data split needs --out DIR: where the parts go");
    };
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("--out {}: something is there already", out.display());
    }
    let (fractions, kind) = match (&arguments.fractions[..], arguments.folds) {
        ([], Some(folds)) => (vec![1.0; folds.into()], "fold"),
        (fractions, _) => (fractions.to_vec(), "part"),
    };
    let specs = arguments.data.iter().map(|spec| spec.parse());
    let specs: Vec<SourceSpec> = specs.collect::<Result<_, _>>()?;
    let records = RecordWriter::new(Output::open(None)?, common.format, &TEXT_OR_JSON)?;

    let mut captions = Captions::new(common, load(common, &arguments.encoder)?);
    let mut sources = Vec::new();
    for spec in &specs {
        sources.push(captions.read(spec, |_| {})?);
    }
    let texts = captions.groups();
    count_distinct(&mut sources, &texts);
    let pictures = picture_groups(&captions.counts, &texts);
    let kept = |picture: &PictureGroup| arguments.keep_repeats || !picture.repeats;
    let groups: Vec<usize> = pictures
        .iter()
        .filter(|picture| kept(picture))
        .map(|picture| picture.group)
        .collect();
    let mut parts = divide(&groups, &fractions, arguments.seed)?.into_iter();
    let placed: Vec<Placed> = pictures
        .iter()
        .map(|picture| Placed {
            group: picture.group,
            part: kept(picture).then(|| parts.next()).flatten(),
        })
        .collect();
    drop((captions, texts));

    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let folder = temporary_folder_in(folder_of(out))
        .with_context(|| format!("cannot write beside {}", out.display()))?;
    let names: Vec<String> = (1..=fractions.len())
        .map(|number| format!("{kind}-{number}"))
        .collect();
    let mut writers = Vec::new();
    for name in &names {
        writers.push(PartWriter::create(&folder.path().join(name))?);
    }
    write_parts(common, &specs, &placed, &mut writers)?;
    let mut parts = Vec::new();
    for (name, writer) in names.iter().zip(writers) {
        let path = out.join(name);
        let counted = writer.finish()?;
        unprompt_files::rename(&folder.path().join(name), &path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        parts.push(PartReport {
            path: path.to_string_lossy().into_owned(),
            ..counted
        });
    }
    let report = Report {
        repeats: placed.iter().filter(|placed| placed.part.is_none()).count(),
        sources,
        parts,
    };
    let failures = report.sources.iter().any(|source| source.bad > 0);
    records.finish_with("split", &report, |out| {
        write_sources(out, &report.sources)?;
        writeln!(
            out,
            "{} pictures repeat others and are left out",
            report.repeats
        )?;
        for part in &report.parts {
            let PartReport {
                path,
                pictures,
                captions,
                groups,
            } = part;
            writeln!(
                out,
                "{path}: {pictures} pictures, {captions} captions, {groups} groups"
            )?;
        }
        Ok(())
    })?;
    Ok(match failures {
        true => Finished::WithFailures,
        false => Finished::Whole,
    })
}

/// Where a picture goes.
struct Placed {
    group: usize,
    /// None for one that repeats others.
    part: Option<usize>,
}

/// Reads the sources once more, this time for their pictures.
fn write_parts(
    common: &Common,
    specs: &[SourceSpec],
    placed: &[Placed],
    writers: &mut [PartWriter],
) -> Result<()> {
    let mut bar = Bar::count("pictures", placed.len(), common.quiet);
    let mut placed = placed.iter().enumerate();
    for spec in specs {
        let changed = || format!("{}: it changed while it was read", spec.name);
        // What is bad was said the first time.
        for sample in Source::open(spec, Limits::default())?.flatten() {
            let (number, placed) = placed.next().with_context(changed)?;
            if let Some(part) = placed.part {
                writers[part].write(number, &spec.name, placed.group, &sample)?;
            }
            bar.advance(1);
        }
    }
    if placed.next().is_some() {
        bail!("the data changed while it was read");
    }
    bar.finish();
    Ok(())
}

/// A folder with pictures and their list.
struct PartWriter {
    folder: PathBuf,
    list: csv::Writer<File>,
    pictures: usize,
    captions: usize,
    groups: BTreeSet<usize>,
}

impl PartWriter {
    fn create(folder: &Path) -> Result<Self> {
        let failed = || format!("cannot write {}", folder.display());
        fs::create_dir(folder).with_context(failed)?;
        let list = File::create(folder.join(LIST)).with_context(failed)?;
        let mut list = csv::Writer::from_writer(list);
        list.write_record(["file", "prompt", "source", "key", "group"])
            .with_context(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            list,
            pictures: 0,
            captions: 0,
            groups: BTreeSet::new(),
        })
    }

    /// Adds a picture, with a row for each of its captions.
    fn write(&mut self, number: usize, source: &str, group: usize, sample: &Sample) -> Result<()> {
        let ending = match sniff(&sample.picture) {
            Some(Format::Png) => "png",
            Some(Format::Jpeg) => "jpg",
            Some(Format::WebP) => "webp",
            Some(Format::Gif) => "gif",
            Some(Format::Bmp) => "bmp",
            Some(Format::Tiff) => "tif",
            // Whoever reads it says what is wrong with it.
            None => "bin",
        };
        let file = format!("{number:07}.{ending}");
        let path = self.folder.join(&file);
        fs::write(&path, &sample.picture)
            .with_context(|| format!("cannot write {}", path.display()))?;
        for caption in &sample.captions {
            let row = [&file, caption, source, &sample.id, &group.to_string()];
            self.list
                .write_record(row)
                .with_context(|| format!("cannot write {}", self.folder.display()))?;
        }
        self.pictures += 1;
        self.captions += sample.captions.len();
        self.groups.insert(group);
        Ok(())
    }

    fn finish(mut self) -> Result<PartReport> {
        let failed = || format!("cannot write {}", self.folder.display());
        self.list.flush().with_context(failed)?;
        Ok(PartReport {
            path: String::new(),
            pictures: self.pictures,
            captions: self.captions,
            groups: self.groups.len(),
        })
    }
}
