//! What can go wrong with a model elsewhere.

/// Why a model elsewhere gave no caption.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// Its name cannot be read.
    #[error("`{name}`: {reason}; a captioner elsewhere is named openai:MODEL@URL")]
    Name {
        /// The name, without its URL.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The key cannot be sent.
    #[error("UNPROMPT_REMOTE_API_KEY: a key is letters, digits and signs, without white space")]
    Key,
    /// It may not be asked here.
    #[error("`{name}`: {reason}")]
    NotAllowed {
        /// The model's whole name.
        name: String,
        /// Why not, and what allows it.
        reason: &'static str,
    },
    /// There was no answer.
    #[error("`{name}`: the server cannot be reached: {reason}")]
    Unreachable {
        /// The model's whole name.
        name: String,
        /// What the connection said.
        reason: String,
    },
    /// The server refused.
    #[error("`{name}`: the server answered {status}{}{message}{hint}", if message.is_empty() { "" } else { ": " })]
    Refused {
        /// The model's whole name.
        name: String,
        /// The status of HTTP.
        status: u16,
        /// What the server says, cut short.
        message: String,
        /// The next step, if there is one.
        hint: &'static str,
    },
    /// The answer is no caption.
    #[error("`{name}`: the server's answer cannot be used: {reason}")]
    Answer {
        /// The model's whole name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A picture cannot be packed.
    #[error("the picture cannot be packed: {0}")]
    Picture(String),
}

impl RemoteError {
    /// Whether the next picture fares no better: nobody answers, or the key is refused.
    pub fn is_of_every_picture(&self) -> bool {
        match self {
            Self::Refused { status, .. } => [401, 403, 404].contains(status),
            Self::Answer { .. } | Self::Picture(_) => false,
            _ => true,
        }
    }
}
