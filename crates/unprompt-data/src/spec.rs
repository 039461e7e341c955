//! One `--data` of the command line.

use crate::{CleanUp, DataError};
use std::{path::PathBuf, str::FromStr};

/// A source of captioned pictures and how it is used: `PATH[,OPTION...]`.
///
/// | option | means |
/// |---|---|
/// | `name=N` | what the source is called; without it the file's or folder's name |
/// | `weight=X` | its samples count X times; 1 without it |
/// | `most=N` | only the first N samples are used |
/// | `layout=L` | one of [`Layout`]'s names; without it told from what is there |
/// | `images=DIR` | where the pictures of a list are; without it the list's own folder |
/// | `strip-leads`, `first-sentence`, `words=N` | [`CleanUp`] |
///
/// A comma in the path stays in the path unless what follows it is an option.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSpec {
    /// What the source is called in logs and notices.
    pub name: String,
    /// The file or folder.
    pub path: PathBuf,
    /// How it is laid out, where that is not to be told from what is there.
    pub layout: Option<Layout>,
    /// Where the pictures of a list are.
    pub images: Option<PathBuf>,
    /// How much each of its samples counts, positive.
    pub weight: f64,
    /// How many samples are used, the first ones.
    pub most: usize,
    /// What is done to its captions.
    pub clean_up: CleanUp,
}

/// How a source is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A folder of pictures with `pairs.csv` or `prompts.csv`, or such a file.
    Csv,
    /// A folder of pictures, each with its caption in a text file of the same stem.
    Sidecar,
    /// Tar files as img2dataset writes them, `KEY.jpg` with `KEY.txt` or `KEY.json`: one, a folder
    /// of them, or a path whose name has a `*`.
    Shards,
    /// One JSON object a line, with the picture's file and its caption.
    Jsonl,
    /// COCO's captions: `images` and `annotations` in one JSON file.
    Coco,
    /// Flickr8k's and Flickr30k's token files: `PICTURE#N<tab>CAPTION`.
    Tokens,
    /// DiffusionDB's parts: `part-000001.zip` with its pictures and its JSON, one or a folder of them.
    DiffusionDb,
    /// Parquet files with a column of captions, one or a folder of them; the pictures are in a column or
    /// named by one. DiffusionDB's `metadata.parquet` is one too.
    Parquet,
}

impl Layout {
    /// Every layout with its name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("csv", Self::Csv),
        ("sidecar", Self::Sidecar),
        ("shards", Self::Shards),
        ("jsonl", Self::Jsonl),
        ("coco", Self::Coco),
        ("tokens", Self::Tokens),
        ("diffusiondb", Self::DiffusionDb),
        ("parquet", Self::Parquet),
    ];
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(known, _)| *known == name);
        known.map(|(_, layout)| *layout).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("layout `{name}` is none of {}", names.join(", "))
        })
    }
}

impl FromStr for SourceSpec {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let failed = |message: String| DataError::Spec {
            spec: text.to_owned(),
            message,
        };
        let mut spec = Self {
            name: String::new(),
            path: PathBuf::new(),
            layout: None,
            images: None,
            weight: 1.0,
            most: usize::MAX,
            clean_up: CleanUp::default(),
        };
        let mut rest = text;
        // From the end, so that a comma of the path stays there.
        while let Some((before, option)) = rest.rsplit_once(',') {
            match spec.set(option).map_err(failed)? {
                true => rest = before,
                false => break,
            }
        }
        if rest.is_empty() {
            return Err(failed("it begins with the path of a file or folder".into()));
        }
        spec.path = rest.into();
        if spec.name.is_empty() {
            let name = spec.path.file_name().or(spec.path.iter().next_back());
            spec.name = name.unwrap_or_default().to_string_lossy().into_owned();
        }
        Ok(spec)
    }
}

impl SourceSpec {
    /// Takes an option in, or says that it is none.
    fn set(&mut self, option: &str) -> Result<bool, String> {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let count = || {
            let count = value.parse().ok().filter(|count: &usize| *count > 0);
            count.ok_or_else(|| format!("{key} `{value}` is not a whole number above 0"))
        };
        match key {
            "name" => self.name = value.into(),
            "layout" => self.layout = Some(value.parse()?),
            "images" => self.images = Some(value.into()),
            "weight" => {
                let weight = value.parse().ok();
                let weight = weight.filter(|weight: &f64| *weight > 0.0 && weight.is_finite());
                self.weight = weight.ok_or(format!("weight `{value}` is not a number above 0"))?;
            }
            "most" => self.most = count()?,
            "words" => self.clean_up.words = Some(count()?),
            "strip-leads" if value.is_empty() => self.clean_up.strip_leads = true,
            "first-sentence" if value.is_empty() => self.clean_up.first_sentence = true,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_behind_the_path() {
        let spec: SourceSpec = "a,b/pairs,name=ours,weight=.3,most=9,words=77,strip-leads"
            .parse()
            .unwrap();
        assert_eq!(spec.path, PathBuf::from("a,b/pairs"));
        assert_eq!(
            (spec.name.as_str(), spec.weight, spec.most),
            ("ours", 0.3, 9)
        );
        assert_eq!(spec.clean_up.words, Some(77));
        assert!(spec.clean_up.strip_leads && !spec.clean_up.first_sentence);
        let plain: SourceSpec = "data/openstax".parse().unwrap();
        assert_eq!((plain.name.as_str(), plain.weight), ("openstax", 1.0));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for bad in [
            "",
            ",weight=2",
            "a,weight=0",
            "a,weight=-1",
            "a,weight=inf",
            "a,weight=x",
            "a,most=0",
            "a,words=1.5",
            "a,layout=pictures",
        ] {
            assert!(bad.parse::<SourceSpec>().is_err(), "{bad}");
        }
    }
}
