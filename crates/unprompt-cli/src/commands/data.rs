//! `unprompt data`: what is in captioned pictures.

mod check;
mod report;

use crate::{
    Finished,
    arguments::{Common, Data},
};
use anyhow::Result;

pub(crate) fn run(common: &Common, what: &Data) -> Result<Finished> {
    match what {
        Data::Check(arguments) => check::run(common, arguments),
    }
}
