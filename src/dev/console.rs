//! What `dev` says to the person who started it: on stdout the table, on stderr what is wrong.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::Options;
use super::manifests::{Files, Told};
use super::memory::Changes;
use super::session::Outcome;
use super::table;
use crate::api::Severity;
use crate::api::condition::reason;
use crate::compile::Verdict;
use crate::provision::driver::View;

/// Says everything once.
#[derive(Default)]
pub struct Console {
    told: Told,
    verdicts: Vec<Verdict>,
}

/// The addresses that were really bound.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The public one.
    pub public: SocketAddr,
    /// The admin listener's.
    pub admin: SocketAddr,
}

impl Console {
    /// Problems, then the table of everything that is served.
    pub fn started(
        &mut self,
        options: &Options,
        files: &Files,
        outcome: &Outcome,
        addresses: Addresses,
        upstream: &[View],
    ) {
        self.tell_problems(files, outcome);
        let width = std::io::stdout()
            .is_terminal()
            .then(terminal_width)
            .flatten();
        print(&format!(
            "Tidegate {}: webhooks at http://{}, admin at http://{}, state in {}\n\
             Sinks and apps may be at private addresses here; in a cluster only Services may, and \
             what an administrator lists.\n\n{}",
            env!("CARGO_PKG_VERSION"),
            addresses.public,
            addresses.admin,
            options.data_dir.display(),
            table::render(&outcome.compiled, upstream, width),
        ));
        let readdressed = upstream.iter().filter(|view| is_readdressed(view)).count();
        if readdressed > 0 {
            print(&format!(
                "The public URL changed, and {readdressed} subscriptions at apps still name the \
                 former one. They stay as they are; start with --allow-re-registration to \
                 register them anew.\n\n"
            ));
        }
        self.verdicts.clone_from(&outcome.compiled.verdicts);
    }

    /// What an edit changed.
    pub fn changed(&mut self, files: &Files, outcome: &Outcome, changes: &Changes, took: Duration) {
        let was_wrong = self.told.anything();
        self.tell_problems(files, outcome);
        let mut text = String::new();
        for verdict in &outcome.compiled.verdicts {
            let key = verdict.kind.reference(&verdict.name);
            if !self.verdicts.contains(verdict) || changes.changed.contains(&key) {
                text.push_str(&table::line(&outcome.compiled.configuration, verdict));
                if outcome.served_as_before.contains(&key) {
                    text.push_str("; its last good form goes on serving");
                }
                text.push('\n');
            }
        }
        for key in &changes.deleted {
            text.push_str(&format!(
                "{} {}/{}: deleted\n",
                key.kind, key.namespace, key.name
            ));
        }
        if was_wrong && !self.told.anything() {
            text.push_str("All manifests are right again.\n");
        }
        if !text.is_empty() {
            text.push_str(&format!("Live after {} ms.\n\n", took.as_millis()));
            print(&text);
        }
        self.verdicts.clone_from(&outcome.compiled.verdicts);
    }

    /// Something could not be done; it is tried again.
    pub fn failed(&self, what: &str, error: &dyn std::error::Error) {
        eprintln!(
            "error: failed to {what}: {error}; what was served before goes on, and it is tried again"
        );
    }

    /// The process was told to stop.
    pub fn draining(&self) {
        print(
            "\nStopping: finishing open requests and deliveries; what is left goes on at the next start.\n",
        );
    }

    fn tell_problems(&mut self, files: &Files, outcome: &Outcome) {
        let verdicts = outcome
            .compiled
            .verdicts
            .iter()
            .flat_map(|verdict| verdict.problems.clone());
        let colours = std::io::stderr().is_terminal();
        for (severity, text) in self.told.news(files, verdicts) {
            match severity {
                Severity::Error if colours => eprintln!("\x1b[31m{text}\x1b[0m"),
                Severity::Warning if colours => eprintln!("\x1b[33m{text}\x1b[0m"),
                _ => eprintln!("{text}"),
            }
        }
    }
}

fn is_readdressed(view: &View) -> bool {
    let conditions = view.status().conditions;
    conditions
        .iter()
        .any(|condition| condition.reason == reason::PUBLIC_URL_CHANGED)
}

/// Whoever closed the pipe no longer wants to read; serving goes on.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

fn terminal_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}
