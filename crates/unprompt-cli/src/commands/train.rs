//! `unprompt train`: weights of one's own.

mod head;
mod rows;
mod samples;
mod vit;
mod vit_report;

pub(crate) use rows::{Tower, features};

use crate::{
    Finished,
    arguments::{Common, Train},
};
use anyhow::Result;

pub(crate) fn run(common: &Common, what: &Train) -> Result<Finished> {
    match what {
        Train::Head(arguments) => head::run(common, arguments),
        Train::Vit(arguments) => vit::run(common, arguments),
    }
}
