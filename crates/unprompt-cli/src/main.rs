//! The `unprompt` command line.
//!
//! Data goes to standard output or `--out`; progress and errors go to standard error. Exit codes:
//! 0 all done, 1 could not start, 2 finished but some inputs failed, 3 a job that a signal stopped,
//! 130 and 143 anything else that SIGINT or SIGTERM ended.

mod arguments;
mod commands;
mod destination;
mod missing;
mod output;
mod progress;
mod records;
mod setup;
mod signals;

use arguments::Arguments;
use mimalloc::MiMalloc;
use std::{io, process::ExitCode};

/// It keeps what one layer has freed for the next. The system's allocator gives large blocks back
/// each time, and to get them anew, page by page, is up to a tenth of a forward pass.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How a command that ran to its end went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// Everything was done.
    Whole,
    /// Some inputs failed; each was reported.
    WithFailures,
    /// A signal asked to stop, and the same command goes on.
    Stopped,
    /// It could not start or go on, and why was said already.
    Refused,
}

fn main() -> ExitCode {
    let arguments = match Arguments::from_command_line() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not failures; what cannot be parsed could not start.
            let code = u8::from(error.use_stderr());
            return match error.print() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
                _ => ExitCode::from(code),
            };
        }
    };
    match signals::listen().and_then(|()| commands::run(&arguments)) {
        Ok(Finished::Whole) => ExitCode::SUCCESS,
        Ok(Finished::WithFailures) => ExitCode::from(2),
        Ok(Finished::Stopped) => ExitCode::from(3),
        Ok(Finished::Refused) => ExitCode::FAILURE,
        // Whoever read the output has enough of it: no failure of ours.
        Err(_) if output::reader_left() => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&output::describe(&error));
            ExitCode::FAILURE
        }
    }
}
