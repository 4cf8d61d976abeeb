//! Everything in one process from a folder of manifests.
//!
//! The same code as in a cluster, but that resources come from files and state stands in a data
//! folder. What is special here is care: an object counts as deleted only when it has surely gone,
//! and a broken file leaves what it said before in force.

mod console;
mod data_dir;
mod engine;
mod manifests;
mod memory;
mod news;
mod object;
mod objects;
mod provisioning;
mod records;
mod session;
mod table;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use crate::configuration::Sensitive;
use crate::gateway::{StartError, token};
use crate::outbound::ProxySettings;
use console::Console;
use data_dir::DataDir;
use engine::Engine;
use memory::Memory;
use session::{Session, Settings};
use watch::Look;

pub use data_dir::DataDirError;
pub use engine::EngineError;

/// What `tidegate dev` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folders and files with manifests.
    pub paths: Vec<PathBuf>,
    /// Where state is kept.
    pub data_dir: PathBuf,
    /// The public address.
    pub listen: SocketAddr,
    /// The address of probes, metrics and the admin API.
    pub admin: SocketAddr,
    /// The base of every webhook URI, if it is not what the manifests say.
    pub public_url: Option<String>,
    /// What stands in for Services: URLs by `name` or `namespace/name`.
    pub services: BTreeMap<String, String>,
    /// Whether another public URL may make subscriptions at apps register anew.
    pub allow_re_registration: bool,
    /// The proxy for requests to apps.
    pub proxy: Option<ProxySettings>,
    /// Certificates that apps may be of, beside the public roots, as PEM.
    pub more_roots: Option<String>,
}

/// Why `dev` cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// What was remembered cannot be read.
    #[error(
        "failed to read {file} in the secrets folder of the data folder: {detail}; if it cannot be mended, remove it: delivery then starts anew"
    )]
    Memory {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// There is nothing to serve.
    #[error("no manifests found in {0}: give folders or files that end in .yaml, .yml or .json")]
    NoManifests(String),
    /// Nothing can be read, and nothing is remembered from an earlier run.
    #[error("{0}")]
    Unreadable(String),
    /// A part of the system cannot start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The process cannot hear signals.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
}

/// The file that remembers objects.
const MEMORY_FILE: &str = "objects.json";
/// The file with the key that webhook URIs' tokens are made with.
const TOKEN_KEY_FILE: &str = "token.key";

/// Serves until the process is told to stop (SIGINT or SIGTERM), then drains.
///
/// # Errors
/// When it cannot start. Afterwards nothing in a manifest stops it.
pub async fn run(options: Options) -> Result<(), DevError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DevError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(DevError::Signals)?;
    let data_dir = DataDir::open(&options.data_dir)?;
    let options = Options {
        listen: with_port(options.listen)?,
        ..options
    };
    let mut running = Running::start(&options, data_dir).await?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = tokio::time::sleep(watch::INTERVAL) => running.look().await,
        }
    }
    running.console.draining();
    running.engine.drain().await;
    Ok(())
}

/// The address with a free port instead of port 0: webhook URIs, over which signatures may be
/// computed, name the port before anything listens on it.
fn with_port(address: SocketAddr) -> Result<SocketAddr, EngineError> {
    if address.port() != 0 {
        return Ok(address);
    }
    std::net::TcpListener::bind(address)
        .and_then(|listener| listener.local_addr())
        .map_err(|source| StartError::Listen { address, source }.into())
}

struct Running {
    paths: Vec<PathBuf>,
    data_dir: DataDir,
    session: Session,
    console: Console,
    engine: Engine,
    last_look: Look,
    /// When to read again although no file changed: an object may count as deleted by then.
    look_again_at: Option<Timestamp>,
}

impl Running {
    async fn start(options: &Options, data_dir: DataDir) -> Result<Self, DevError> {
        let last_look = Look::at(&options.paths);
        let began = Timestamp::now();
        let mut files = manifests::read(&options.paths);
        let memory = read_memory(&data_dir)?;
        if files.count == 0 && (files.unreadable.is_empty() || memory.objects().next().is_none()) {
            return Err(nothing_to_serve(&options.paths, &files.unreadable));
        }
        let token_key = token_key(&data_dir)?;
        let settings = Settings {
            public_url: options.public_url.clone(),
            listener_url: format!("http://{}", options.listen),
            webhook_token: {
                let key = token_key.clone();
                Box::new(move |name| token::issue(&key, &format!("global webhook {name}")))
            },
            services: options.services.clone(),
        };
        let mut session = Session::new(settings, memory);
        let unusable = files.unusable_paths();
        let reading = std::mem::take(&mut files.reading);
        let is_whole = !reading.incomplete;
        let now = Timestamp::now();
        let changes = session.update(reading, unusable, began, now, &mut new_uid);
        let outcome = session.compile();
        // Written before anything is served: what tells a subscription from another one of the
        // same name must not change because of a crash.
        write_memory(&data_dir, session.memory())?;
        let is_complete = is_whole && session.knows_every_subscription();
        let engine = Engine::start(
            options,
            &data_dir,
            &session,
            &token_key,
            &outcome,
            is_complete,
        )
        .await?;
        let mut console = Console::default();
        let upstream = engine.at_start().await;
        console.started(options, &files, &outcome, engine.addresses(), &upstream);
        Ok(Self {
            paths: options.paths.clone(),
            data_dir,
            session,
            console,
            engine,
            last_look,
            look_again_at: changes.look_again_at,
        })
    }

    /// Looks whether anything changed, and makes it live.
    async fn look(&mut self) {
        let paths = self.paths.clone();
        // A slow file system must not hold up requests.
        let Ok(look) = tokio::task::spawn_blocking(move || Look::at(&paths)).await else {
            return;
        };
        let due = self.look_again_at.is_some_and(|at| at <= Timestamp::now());
        if look == self.last_look && !due {
            return;
        }
        let (since, began) = (Instant::now(), Timestamp::now());
        let paths = self.paths.clone();
        let read = tokio::task::spawn_blocking(move || manifests::read(&paths));
        let Ok(mut files) = read.await else {
            return;
        };
        self.last_look = look;
        let unusable = files.unusable_paths();
        let reading = std::mem::take(&mut files.reading);
        let is_whole = !reading.incomplete;
        let now = Timestamp::now();
        let changes = self
            .session
            .update(reading, unusable, began, now, &mut new_uid);
        self.look_again_at = changes.look_again_at;
        let outcome = self.session.compile();
        if let Err(error) = write_memory(&self.data_dir, self.session.memory()) {
            // Served as before rather than with an identity that a crash would change.
            self.console.failed("remember the edit", &error);
            self.last_look = Look::default();
            return;
        }
        let is_complete = is_whole && self.session.knows_every_subscription();
        match self.engine.apply(&outcome, is_complete).await {
            Ok(()) => self
                .console
                .changed(&files, &outcome, &changes, since.elapsed()),
            Err(error) => {
                self.console.failed("apply the edit", &error);
                // Tried again at the next look.
                self.last_look = Look::default();
            }
        }
    }
}

/// Where a folder cannot be read that once had manifests, what they said goes on; where nothing is
/// remembered there is nothing that could.
fn nothing_to_serve(paths: &[PathBuf], unreadable: &[String]) -> DevError {
    if !unreadable.is_empty() {
        return DevError::Unreadable(unreadable.join("; "));
    }
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    DevError::NoManifests(paths.join(", "))
}

fn new_uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn read_memory(data_dir: &DataDir) -> Result<Memory, DevError> {
    let Some(text) = data_dir.read_secret(MEMORY_FILE)? else {
        return Ok(Memory::default());
    };
    serde_json::from_slice(&text).map_err(|error| DevError::Memory {
        file: MEMORY_FILE,
        detail: error.to_string(),
    })
}

fn write_memory(data_dir: &DataDir, memory: &Memory) -> Result<(), DevError> {
    let text = serde_json::to_vec(memory).map_err(|error| DevError::Memory {
        file: MEMORY_FILE,
        detail: error.to_string(),
    })?;
    if data_dir.read_secret(MEMORY_FILE)?.as_deref() != Some(&text) {
        data_dir.write_secret(MEMORY_FILE, &text)?;
    }
    Ok(())
}

/// The key of all webhook URIs' tokens, made once and kept.
fn token_key(data_dir: &DataDir) -> Result<Sensitive, DevError> {
    if let Some(key) = data_dir.read_secret(TOKEN_KEY_FILE)? {
        return match key.len() {
            32 => Ok(Sensitive::new(key)),
            length => {
                let detail = format!("it has {length} bytes instead of 32");
                Err(DevError::Memory {
                    file: TOKEN_KEY_FILE,
                    detail,
                })
            }
        };
    }
    let key: [u8; 32] = rand::random();
    data_dir.write_secret(TOKEN_KEY_FILE, &key)?;
    Ok(Sensitive::new(key))
}
