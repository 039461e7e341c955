//! Models that are wanted and not here, as a table: how all of them are had, then each with its size.

use anyhow::{Result, bail};
use std::path::Path;
use unprompt::{EngineError, Hub, MissingModel, NextStep, Preset, hub::megabytes, missing_models};

/// The encoder of a preset that is only asked for what its members lack.
const ENCODER: &str = "all-MiniLM-L6-v2";

/// Models of the shipped presets whose only weights are pickles.
const PICKLES: [&str; 1] = ["OFA-Sys/ofa-large-caption"];

/// What a preset lacks, told once for all of it; `None` for any other error.
pub(crate) fn describe(error: &EngineError) -> Option<String> {
    let EngineError::Incomplete {
        preset,
        needed,
        missing,
        complete,
        cause,
    } = error
    else {
        return None;
    };
    let are = if missing.len() == 1 { "is" } else { "are" };
    let mut text = format!(
        "{cause}\npreset `{preset}`: {} of its {needed} models {are} not on this machine\n{}",
        missing.len(),
        table(preset, missing)
    );
    if let Some(preset) = complete {
        text += &format!("\n`--preset {preset}` is complete on this machine");
    }
    Some(text)
}

/// How a preset's missing models are had, and the table of them.
pub(crate) fn table(preset: &str, missing: &[MissingModel]) -> String {
    let fetched = missing
        .iter()
        .filter(|model| model.next_step == NextStep::Fetch);
    let names: Vec<&str> = fetched.map(|model| model.name.as_str()).collect();
    let is_shipped = Preset::shipped().any(|shipped| shipped == preset);
    let what = if is_shipped {
        preset.to_owned()
    } else {
        names.join(" ")
    };
    let mut lines = Vec::new();
    if !names.is_empty() {
        let flag = flag_for(missing);
        lines.push(format!(
            "`unprompt models pull {what}{flag}` fetches what can be fetched; without a network, run `unprompt \
             models export {what} --out BUNDLE.tar` where it is and `unprompt models import BUNDLE.tar` here"
        ));
    }
    let width = missing.iter().map(|model| model.name.chars().count()).max();
    let width = width.unwrap_or(0);
    for model in missing {
        let (name, size) = (&model.name, size_of(model));
        lines.push(match &model.next_step {
            NextStep::Fetch => format!("  {name:<width$}  {size:>9}"),
            NextStep::PutThere => {
                format!("  {name:<width$}  no such file or folder; put the model there")
            }
            NextStep::BuildIndex(command) => format!(
                "  {name:<width$}  no prompt index here; make one of a list of prompts: `{command}`"
            ),
        });
    }
    if names.len() > 1 {
        lines.push(format!("  {:<width$}  {:>9}", "in all", total(missing)));
    }
    lines.join("\n")
}

/// The flag that a pull of these needs.
fn flag_for(missing: &[MissingModel]) -> &'static str {
    let is_pickle = |model: &MissingModel| PICKLES.contains(&model.name.as_str());
    match missing.iter().any(is_pickle) {
        true => " --allow-pickle",
        false => "",
    }
}

fn size_of(model: &MissingModel) -> String {
    match model.download_bytes {
        Some(bytes) => megabytes(bytes),
        None => "size not known here".to_owned(),
    }
}

/// What a fetch of all that can be fetched transfers; at least so much where a size is not known.
pub(crate) fn total(missing: &[MissingModel]) -> String {
    let mut fetched = missing
        .iter()
        .filter(|model| model.next_step == NextStep::Fetch);
    let known: u64 = fetched
        .clone()
        .filter_map(|model| model.download_bytes)
        .sum();
    match fetched.all(|model| model.download_bytes.is_some()) {
        true => megabytes(known),
        false => format!("more than {}", megabytes(known)),
    }
}

/// What the members lack that this text of a preset describes. A model that is named in a way that no
/// preset has is left to whoever loads it.
fn of_members(hub: &Hub, members: &str) -> Vec<MissingModel> {
    let text = format!("name = 'command'\nencoder = '{ENCODER}'\n{members}");
    let Ok(preset) = Preset::parse("of a command", &text) else {
        return Vec::new();
    };
    let mut missing = missing_models(hub, &preset);
    missing.retain(|model| model.name != ENCODER);
    missing
}

/// Every text as TOML has it: JSON's strings are TOML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Says what an interrogation has to fetch, with the size of it.
///
/// # Errors
/// When something is missing and nothing may be fetched.
pub(crate) fn interrogator(
    hub: &Hub,
    clip: &str,
    captioner: Option<&str>,
    labels: Option<&Path>,
    note: impl FnOnce(&str),
) -> Result<()> {
    let mut member = format!(
        "[[member]]\nname = 'member'\nkind = 'interrogator'\nweight = 1\nmode = 'fast'\nclip = {}\n",
        quoted(clip)
    );
    if let Some(captioner) = captioner {
        member += &format!("captioner = {}\n", quoted(captioner));
    }
    if let Some(labels) = labels {
        member += &format!("labels = {}\n", quoted(&labels.to_string_lossy()));
    }
    announce(hub, &of_members(hub, &member), note)
}

/// The same for a captioner.
///
/// # Errors
/// As [`interrogator`].
pub(crate) fn captioner(hub: &Hub, model: &str, note: impl FnOnce(&str)) -> Result<()> {
    let member = format!(
        "[[member]]\nname = 'member'\nkind = 'captioner'\nweight = 1\nmodel = {}\n",
        quoted(model)
    );
    announce(hub, &of_members(hub, &member), note)
}

fn announce(hub: &Hub, missing: &[MissingModel], note: impl FnOnce(&str)) -> Result<()> {
    let fetched: Vec<&MissingModel> = missing
        .iter()
        .filter(|model| model.next_step == NextStep::Fetch)
        .collect();
    if fetched.is_empty() {
        return Ok(());
    }
    if hub.is_offline() {
        let models = if fetched.len() == 1 {
            "a model is"
        } else {
            "models are"
        };
        bail!(
            "{models} not on this machine and fetching is off (--offline or HF_HUB_OFFLINE)\n{}",
            table("", missing)
        );
    }
    let names: Vec<String> = fetched
        .iter()
        .map(|model| format!("{} ({})", model.name, size_of(model)))
        .collect();
    note(&format!(
        "fetching once and for all, {} together: {}",
        total(missing),
        names.join(", ")
    ));
    Ok(())
}

/// Names the heaviest preset beyond `than` that is not whole here and can be pulled whole, with what
/// a pull transfers; nothing where that one is here.
pub(crate) fn better_preset(hub: &Hub, than: &str) -> Option<String> {
    // The heaviest first: they are the better ones.
    let better = Preset::shipped().rev().take_while(|name| *name != than);
    let mut whole = better.filter_map(|name| {
        let missing = missing_models(hub, &Preset::load(name).ok()?);
        let can_be_pulled = missing
            .iter()
            .all(|model| model.next_step == NextStep::Fetch);
        can_be_pulled.then_some((name, missing))
    });
    let (name, missing) = whole.next()?;
    let (flag, size) = (flag_for(&missing), total(&missing));
    (!missing.is_empty()).then(|| {
        format!(
            "preset `{name}` has larger models, which are not here yet: `unprompt models pull {name}{flag}` \
             fetches them once, {size}; then `--preset {name}`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use unprompt::{
        HubOptions,
        hub::{Environment, Manifest},
    };

    fn missing(name: &str, download_bytes: Option<u64>, next_step: NextStep) -> MissingModel {
        MissingModel {
            name: name.into(),
            download_bytes,
            next_step,
        }
    }

    #[test]
    fn a_preset_that_could_be_pulled_is_named_with_its_size() {
        let home = tempfile::tempdir().unwrap();
        let hub = Hub::new(
            Environment::read(|_| None, Some(home.path().to_owned())),
            HubOptions::default(),
            Manifest::builtin().unwrap().clone(),
        );
        let found = better_preset(&hub, "lite").unwrap();
        let expected = "`unprompt models pull open --allow-pickle` fetches them once, 7.";
        assert!(found.contains(expected), "{found}");
        assert_eq!(
            better_preset(&hub, "open"),
            None,
            "the rest cannot be pulled"
        );
    }

    #[test]
    fn the_way_is_told_once_and_then_each_model_with_its_size() {
        let models = [
            missing("all-MiniLM-L6-v2", Some(90_900_000), NextStep::Fetch),
            missing("org/model", Some(3_944_000_000), NextStep::Fetch),
            missing("./vit.pth", None, NextStep::PutThere),
            missing(
                "ix",
                None,
                NextStep::BuildIndex("unprompt index build".into()),
            ),
        ];
        let found = table("open", &models);
        assert_eq!(found.matches("models pull").count(), 1, "{found}");
        let lines: Vec<&str> = found.lines().collect();
        assert!(
            lines[0].starts_with("`unprompt models pull open` "),
            "{found}"
        );
        assert_eq!(lines[1], "  all-MiniLM-L6-v2    90.9 MB");
        assert_eq!(lines[2], "  org/model           3.94 GB");
        assert!(lines[3].ends_with("put the model there"), "{found}");
        assert!(lines[4].ends_with("`unprompt index build`"), "{found}");
        assert_eq!(lines[5], "  in all              4.03 GB");
        let own = table("mine", &models[..1]);
        assert!(
            own.starts_with("`unprompt models pull all-MiniLM-L6-v2` "),
            "{own}"
        );
        assert_eq!(own.lines().count(), 2, "{own}");
        assert!(!table("open", &models[2..]).contains("pull"));
        let unknown = [missing("org/a", None, NextStep::Fetch), models[0].clone()];
        assert!(table("open", &unknown).contains("more than 90.9 MB"));
    }
}
