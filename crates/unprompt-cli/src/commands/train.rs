//! `unprompt train`: weights of one's own.

mod head;
mod rows;

use crate::{
    Finished,
    arguments::{Common, Train},
};
use anyhow::Result;

pub(crate) fn run(common: &Common, what: &Train) -> Result<Finished> {
    match what {
        Train::Head(arguments) => head::run(common, arguments),
    }
}
