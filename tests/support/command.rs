//! The command line, as a user or a script meets it.

use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Held while a child is forked, until it has become another program.
static SPAWNING: Mutex<()> = Mutex::new(());

/// Does what must not be copied into a child: until it becomes another program, a child holds
/// every socket that was open when it was forked.
pub fn while_nobody_spawns<T>(work: impl FnOnce() -> T) -> T {
    let _nobody_spawns = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    work()
}

/// Starts a child; when this returns it has become the other program.
///
/// # Panics
/// When there is no such program.
pub fn spawn(command: &mut Command) -> Child {
    let child = while_nobody_spawns(|| command.spawn());
    child.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Stdout as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `tidegate` with these arguments in the repository's folder until it ends.
pub fn tidegate(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = spawn(&mut command).wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
