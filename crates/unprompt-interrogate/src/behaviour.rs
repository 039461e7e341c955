//! Two ways to behave.

/// Whether the mistakes of the reference are repeated; `docs/interrogate.md` lists them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// As clip-interrogator means it.
    #[default]
    Fixed,
    /// As clip-interrogator 0.6.0 does it.
    Compat060,
}
