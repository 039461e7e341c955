//! Where a job's answers go: all at the end, or each as it is there.

use crate::{
    error::ServeError,
    task::{Answer, Answers, InputFailure},
};
use tokio::sync::{mpsc, oneshot};

/// What is told of a job step by step.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is worked on now.
    Begun,
    /// The next input, in their order, is done.
    Done(Result<Answer, InputFailure>),
    /// The rest will not be done.
    Failed(ServeError),
}

/// Who waits for a job.
pub(crate) enum Reply {
    /// For everything together.
    Whole(oneshot::Sender<Result<Answers, ServeError>>),
    /// For each step.
    Steps(mpsc::UnboundedSender<Step>),
}

impl Reply {
    /// Whether nobody waits any longer.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_closed(),
            Self::Steps(steps) => steps.is_closed(),
        }
    }

    /// Says that there will be no answer. Whose client left meanwhile is told nothing.
    pub(crate) fn fail(self, error: ServeError) {
        match self {
            Self::Whole(whole) => drop(whole.send(Err(error))),
            Self::Steps(steps) => drop(steps.send(Step::Failed(error))),
        }
    }

    /// Whether it may be worked on together with others.
    pub(crate) fn joins_others(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}
