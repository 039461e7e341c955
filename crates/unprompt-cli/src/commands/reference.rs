//! What the program tells of itself: completions, man pages, and the pages that docs/ has of it.

mod page;

use crate::{
    Finished,
    arguments::{Arguments, Common, Completions, Man, Page, Reference},
    output::Output,
};
use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::Man as ManPage;
use std::{fs, io::Write, path::Path};
use unprompt::Preset;
use unprompt_server::record_schemas;

/// `unprompt completions SHELL`.
pub(crate) fn completions(common: &Common, arguments: &Completions) -> Result<Finished> {
    let mut script = Vec::new();
    let mut program = Arguments::definition();
    clap_complete::generate(arguments.shell, &mut program, "unprompt", &mut script);
    write(common, &script)
}

/// `unprompt man`.
pub(crate) fn man(common: &Common, arguments: &Man) -> Result<Finished> {
    let mut program = Arguments::definition();
    program.build();
    let Some(folder) = &arguments.folder else {
        return write(common, &man_page(&program)?);
    };
    let failed = || format!("--folder {}", folder.display());
    fs::create_dir_all(folder).with_context(failed)?;
    write_man_pages(&program, folder).with_context(failed)?;
    Ok(Finished::Whole)
}

/// A page of a command and, beside it, those of the commands below it.
fn write_man_pages(command: &Command, folder: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    unprompt_files::write(&folder.join(format!("{name}.1")), &man_page(command)?)?;
    for below in page::shown(command) {
        write_man_pages(below, folder)?;
    }
    Ok(())
}

fn man_page(command: &Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    ManPage::new(command.clone()).render(&mut page)?;
    Ok(page)
}

/// `unprompt reference`: the generated pages of docs/, which a test compares.
pub(crate) fn reference(common: &Common, arguments: &Reference) -> Result<Finished> {
    let schema = |schema| Ok::<_, anyhow::Error>(serde_json::to_string_pretty(schema)? + "\n");
    let text = match arguments.what {
        Page::Commands => page::commands(Arguments::definition()),
        Page::Preset => schema(&Preset::schema())?,
        Page::Records => schema(&record_schemas())?,
    };
    write(common, text.as_bytes())
}

fn write(common: &Common, bytes: &[u8]) -> Result<Finished> {
    let mut output = Output::open(common.out.as_deref())?;
    output.write_all(bytes)?;
    output.finish()?;
    Ok(Finished::Whole)
}
