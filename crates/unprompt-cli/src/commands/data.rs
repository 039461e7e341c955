//! `unprompt data`: what is in captioned pictures, and their division into parts.

mod captions;
mod check;
mod report;
mod split;

use crate::{
    Finished,
    arguments::{Common, Data},
};
use anyhow::Result;

pub(crate) fn run(common: &Common, what: &Data) -> Result<Finished> {
    match what {
        Data::Check(arguments) => check::run(common, arguments),
        Data::Split(arguments) => split::run(common, arguments),
    }
}
