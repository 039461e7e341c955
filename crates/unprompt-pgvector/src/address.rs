//! Where a table is: a PostgreSQL URL as other programs take it, with one parameter more.

use postgres::{
    Config,
    config::{Host, SslMode},
};
use std::{error::Error, fmt, time::Duration};
use unprompt_index::{IndexError, Result};

/// The table of an address that names none.
pub const DEFAULT_TABLE: &str = "unprompt_prompts";

/// Where the password is that stands in no address, as for PostgreSQL's own programs.
const PASSWORD_VARIABLE: &str = "PGPASSWORD";
const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];
/// The longest name that PostgreSQL keeps whole.
const MOST_LETTERS: usize = 63;

/// A server that does not answer is given up after this, unless the address says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What was sent may stay unacknowledged for so long.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a text is the address of a database rather than the path of a folder.
pub fn is_address(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

/// A table of a server, with all that a connection needs. What is shown of it has no password.
#[derive(Clone)]
pub struct Address {
    config: Config,
    table: String,
    shown: String,
}

impl Address {
    /// Reads `postgresql://USER@HOST:PORT/DATABASE?table=NAME`, with every parameter that libpq and
    /// tokio-postgres share. `table` may be `SCHEMA.NAME`; without it the table is
    /// [`DEFAULT_TABLE`]. Where no password stands in it, that of the environment's `PGPASSWORD` is
    /// taken, as libpq does.
    ///
    /// # Errors
    /// [`IndexError::Database`] when it is none; the message repeats nothing of the text, which may
    /// hold a password.
    pub fn parse(text: &str) -> Result<Self> {
        if !is_address(text) {
            return Err(refused(
                "expected postgresql://USER@HOST:PORT/DATABASE?table=NAME",
            ));
        }
        let (rest, table) = without_table(text)?;
        let mut config: Config = rest.parse().map_err(|error| malformed(&error))?;
        let is_odd =
            |host: &Host| matches!(host, Host::Tcp(name) if name.contains(['@', ':', '/']));
        if config.get_hosts().iter().any(is_odd) {
            return Err(refused("the host is none; in a password write @ as %40"));
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("localhost");
        }
        if config.get_ssl_mode() == SslMode::Require {
            let message = "sslmode=require: this program speaks no TLS to a database; go through a \
                           tunnel (`ssh -L`) or a proxy on this machine";
            return Err(refused(message));
        }
        if config.get_password().is_none()
            && let Some(password) = std::env::var_os(PASSWORD_VARIABLE)
        {
            config.password(password.as_encoded_bytes());
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(ACKNOWLEDGE_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("unprompt");
        }
        config.keepalives_idle(ACKNOWLEDGE_TIMEOUT);
        let shown = shown(&config, table);
        Ok(Self {
            config,
            table: table.to_owned(),
            shown,
        })
    }

    /// Whether a password stands in it, which others could read wherever it is kept.
    pub fn text_holds_password(text: &str) -> bool {
        let parsed = without_table(text).map(|(rest, _)| rest.parse::<Config>());
        matches!(parsed, Ok(Ok(config)) if config.get_password().is_some())
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The table's name as SQL has it: each part in quotation marks.
    pub(crate) fn table(&self) -> String {
        let parts = self.table.split('.').map(|part| format!("\"{part}\""));
        parts.collect::<Vec<_>>().join(".")
    }

    /// An error that names this place.
    pub(crate) fn failed(&self, message: impl Into<String>) -> IndexError {
        IndexError::Database {
            place: self.shown.clone(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.shown)
    }
}

fn refused(message: &str) -> IndexError {
    IndexError::Database {
        place: "the address of the database".to_owned(),
        message: message.to_owned(),
    }
}

/// What is wrong with an address. The parser may repeat parts of it, which are left out.
fn malformed(error: &postgres::Error) -> IndexError {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let known = cause.starts_with("invalid value for option `");
    let cause = if known { &cause } else { "it cannot be read" };
    refused(&format!(
        "{cause}; expected postgresql://USER@HOST:PORT/DATABASE?table=NAME, with % codes for special \
         characters in a password"
    ))
}

/// An address as the client's parser takes it, and the name of the table, which is ours.
fn without_table(text: &str) -> Result<(String, &str)> {
    // What the parser takes for a password may have a question mark in it.
    let credentials = text.find('@').map_or(0, |at| at + 1);
    let Some(question) = text[credentials..].find('?') else {
        return Ok((text.to_owned(), DEFAULT_TABLE));
    };
    let (before, parameters) = text.split_at(credentials + question);
    let (mut others, mut table) = (Vec::new(), DEFAULT_TABLE);
    for parameter in parameters[1..].split('&') {
        match parameter.strip_prefix("table=") {
            Some(name) => table = name,
            None => others.push(parameter),
        }
    }
    let is_name = |part: &str| {
        (1..=MOST_LETTERS).contains(&part.len())
            && !part.starts_with(|first: char| first.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if table.split('.').count() > 2 || !table.split('.').all(is_name) {
        return Err(refused(&format!(
            "table={}: expected NAME or SCHEMA.NAME of ASCII letters, digits and _, each at most \
             {MOST_LETTERS} long",
            table.escape_debug()
        )));
    }
    let others = others.join("&");
    let mark = if others.is_empty() { "" } else { "?" };
    Ok((format!("{before}{mark}{others}"), table))
}

/// The address again, without password and parameters.
fn shown(config: &Config, table: &str) -> String {
    let host = |(index, host): (usize, &Host)| {
        let name = match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(folder) => folder.to_string_lossy().replace('/', "%2F"),
        };
        let ports = config.get_ports();
        let port = ports.get(index).or(ports.first());
        port.map_or(name.clone(), |port| format!("{name}:{port}"))
    };
    let hosts: Vec<String> = config.get_hosts().iter().enumerate().map(host).collect();
    let user = config.get_user().map(|user| format!("{user}@"));
    let shown = format!(
        "postgresql://{}{}/{}?table={table}",
        user.unwrap_or_default(),
        hosts.join(","),
        config.get_dbname().unwrap_or_default(),
    );
    shown.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_the_place_without_the_password() {
        let cases = [
            (
                "postgresql://me:secret@db.example:5433/prompts?table=art.prompts",
                "postgresql://me@db.example:5433/prompts?table=art.prompts",
                "\"art\".\"prompts\"",
            ),
            (
                "postgres://me:s%40e?cret@/prompts?host=/tmp/x&password=secret&connect_timeout=3",
                "postgresql://me@%2Ftmp%2Fx/prompts?table=unprompt_prompts",
                "\"unprompt_prompts\"",
            ),
            (
                "postgresql:///prompts",
                "postgresql://localhost/prompts?table=unprompt_prompts",
                "\"unprompt_prompts\"",
            ),
        ];
        for (text, shown, table) in cases {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.table(), table);
            assert!(!format!("{address:?}").contains("cret"), "{address:?}");
            assert_eq!(Address::text_holds_password(text), text.contains("cret"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for (text, expected) in [
            ("host=secret password=secret", "postgresql://USER"),
            ("postgresql://me:secret@host:port/db", "`port`"),
            ("postgresql://me:sec@ret@host/db", "%40"),
            ("postgresql://me:secret/db", "`port`"),
            ("postgresql://me@host/db?pass=secret", "cannot be read"),
            ("postgresql://me@host/db?password=sec&ret", "cannot be read"),
            ("postgresql://me:secret@host/db?sslmode=require", "no TLS"),
            ("postgresql://me:secret@host/db?table=a.b.c", "SCHEMA.NAME"),
            ("postgresql://me:secret@host/db?table=a\"b", "SCHEMA.NAME"),
            ("postgresql://me:secret@host/db?table=1a", "SCHEMA.NAME"),
            ("postgresql://me:secret@host/db?table=", "SCHEMA.NAME"),
        ] {
            let error = Address::parse(text).unwrap_err();
            for message in [error.to_string(), format!("{error:?}")] {
                assert!(message.contains(expected), "{text}: {message}");
                assert!(!message.contains("sec"), "{message}");
                assert!(!message.contains("ret@"), "{message}");
            }
        }
        assert!(is_address("postgres://x") && !is_address("postgres") && !is_address("./a"));
    }
}
