//! How a command fails: a sentence for the user and an exit code.

use std::error::Error;
use std::process::ExitCode;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// The arguments make no sense: exit code 2.
    Usage(String),
    /// It was tried, and it did not work: exit code 1.
    Failed(String),
}

impl Failure {
    /// A failure whose text is the error and all its sources, joined once here at the edge.
    pub fn from_error(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some libraries repeat their cause in their own message.
            if !text.ends_with(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self::Failed(text)
    }

    /// The same as one that whoever typed the command, or set its variables, can mend.
    pub fn of_usage(self) -> Self {
        let (Self::Usage(text) | Self::Failed(text)) = self;
        Self::Usage(text)
    }

    /// Prints the failure to stderr and gives the exit code.
    pub fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::Usage(text) => (text, 2),
            Self::Failed(text) => (text, 1),
        };
        eprintln!("error: {text}");
        ExitCode::from(code)
    }
}
