//! Midjourney: PNG text `Description`, the prompt as it was sent with its `--parameters`, then
//! `Job ID: ` and a UUID.

use crate::limits::MAX_SETTINGS_BYTES;
use crate::{Generator, Metadata, Settings, json};

const JOB: &str = "Job ID:";

pub(crate) fn from_description(text: &str) -> Option<Metadata> {
    if text.len() > MAX_SETTINGS_BYTES {
        return None;
    }
    let (command, job) = text.rsplit_once(JOB)?;
    let job = job.trim();
    let is_uuid = job.len() == 36 && job.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if !is_uuid {
        return None;
    }
    // A dash may also be typed as an em dash, which Midjourney accepts for two hyphens.
    let command = command.replace(" —", " --");
    let mut parts = command.split(" --");
    let prompt = parts.next().unwrap_or_default().trim().to_owned();
    let mut negative_prompt = None;
    let mut settings = Settings::new();
    for part in parts {
        let (name, value) = part.trim().split_once(' ').unwrap_or((part.trim(), ""));
        match name {
            "" => {}
            "no" => negative_prompt = Some(value.trim().to_owned()),
            _ if value.is_empty() => {
                settings.insert(name.to_owned(), true.into());
            }
            _ => {
                settings.insert(name.to_owned(), json::typed(name, value.trim()));
            }
        }
    }
    settings.insert("Job ID".into(), job.into());
    Some(Metadata::new(
        Generator::Midjourney,
        prompt,
        negative_prompt,
        settings,
    ))
}
