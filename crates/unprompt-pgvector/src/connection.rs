//! A connection to the server, and its errors in words.

use crate::Address;
use postgres::{Client, NoTls, error::SqlState};
use std::error::Error;
use unprompt_index::{IndexError, Result};

/// Connects to the server of an address.
pub(crate) fn connect(address: &Address) -> Result<Client> {
    address
        .config()
        .connect(NoTls)
        .map_err(|error| address.failed(describe(&error)))
}

/// What an error of the client means, for a table of this address; `remains` says what became of the
/// work.
pub(crate) fn failed(address: &Address, error: &postgres::Error, remains: &str) -> IndexError {
    address.failed(format!("{}; {remains}", describe(error)))
}

/// An error in one line, with the next step where there is one. The server's messages name users,
/// databases and tables, never a password.
fn describe(error: &postgres::Error) -> String {
    let Some(server) = error.as_db_error() else {
        let cause = error.source().map(ToString::to_string);
        let mut message = error.to_string();
        // The client names its cause in some versions and not in others.
        if let Some(cause) = cause.filter(|cause| !message.contains(cause.as_str())) {
            message = format!("{message}: {cause}");
        }
        if message.contains("password missing") {
            return "the server asks for a password; put it into PGPASSWORD".to_owned();
        }
        if error.is_closed() || message.starts_with("error communicating") {
            return format!("the connection to the server was lost ({message})");
        }
        return message;
    };
    let mut message = format!("the server says: {}", server.message());
    if let Some(detail) = server.detail() {
        message = format!("{message} ({detail})");
    }
    let code = server.code();
    let step = if *code == SqlState::INVALID_PASSWORD {
        Some("put the right password into PGPASSWORD, or the right user into the address")
    } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        Some("see pg_hba.conf on the server, or name another user in the address")
    } else if *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::CRASH_SHUTDOWN {
        Some("the connection to the server was lost")
    } else {
        server.hint()
    };
    match step {
        Some(step) => format!("{message}; {step}"),
        None => message,
    }
}
