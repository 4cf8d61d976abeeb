//! A small CRM to try Tidegate's per-customer subscriptions with: tenants, each with a token of its
//! own; webhooks that are registered, listed, renewed and removed through an API, and that expire;
//! contacts, of which each one that is created is told to the webhooks in signed requests.
//!
//! ```sh
//! cargo run --release --example crm
//! ```
//!
//! It uses the standard library only and keeps everything in memory. It speaks plain HTTP, and on
//! a loopback address unless it is told otherwise: it is there to learn from and to break.

mod api;
mod clock;
mod courier;
mod hmac;
mod http;
mod json;
mod random;
mod webhooks;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use self::api::Crm;
use self::courier::Courier;
use self::http::{Answer, Request};

/// Requests that are answered at the same time; more are turned away.
const MOST_REQUESTS: usize = 64;

const HELP: &str = "\
A small CRM with webhooks, on a loopback address.

Usage: crm [--host NAME] [--port PORT] [--lifetime SECONDS] [--tenant NAME=TOKEN]...

  --host NAME           listen on all addresses, and be called by this name: for trying it as
                        a pod (default: listen on 127.0.0.1 only)
  --port PORT           where it listens (default 9091; 0: any free port)
  --lifetime SECONDS    how long a webhook lasts (default 86400)
  --tenant NAME=TOKEN   a tenant and its API token (default: acme, globex and initech,
                        with the tokens of examples/crm/customers.yaml)

Example: crm --lifetime 60";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::read(&arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to listen: {error}; take another port with --port");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    host: Option<String>,
    port: u16,
    lifetime: u64,
    tokens: BTreeMap<String, String>,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            host: None,
            port: 9091,
            lifetime: 86_400,
            tokens: BTreeMap::new(),
        };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} needs a value", pair[0]));
            };
            let wrong = || format!("{value} is no value for {name}");
            match name.as_str() {
                "--host" => options.host = Some(value.clone()),
                "--port" => options.port = value.parse().map_err(|_| wrong())?,
                "--lifetime" => options.lifetime = value.parse().map_err(|_| wrong())?,
                "--tenant" => {
                    let (tenant, token) = value.split_once('=').ok_or_else(wrong)?;
                    options.tokens.insert(tenant.to_owned(), token.to_owned());
                }
                _ => return Err(format!("there is no option {name}")),
            }
        }
        if options.tokens.is_empty() {
            let tenants = ["acme", "globex", "initech"];
            options.tokens = tenants
                .map(|tenant| (tenant.to_owned(), format!("{tenant}-example-token")))
                .into();
        }
        Ok(options)
    }
}

fn serve(options: Options) -> std::io::Result<()> {
    let address = if options.host.is_some() {
        "0.0.0.0"
    } else {
        "127.0.0.1"
    };
    let listener = TcpListener::bind((address, options.port))?;
    let port = listener.local_addr()?.port();
    let host = options.host.as_deref().unwrap_or(address);
    let url = format!("http://{host}:{port}");
    println!("the CRM is at {url}");
    for tenant in options.tokens.keys() {
        println!("  {tenant}: {url}/tenants/{tenant}");
    }
    let crm = Arc::new(Crm {
        url,
        lifetime: options.lifetime,
        tokens: options.tokens,
        tenants: Default::default(),
        courier: Courier::default(),
    });
    let courier = Arc::clone(&crm);
    thread::spawn(move || {
        courier
            .courier
            .run(|parcel, sent| courier.note(parcel, sent))
    });

    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        // What fails here is one connection, not the listener.
        let Ok(stream) = stream else { continue };
        if open.fetch_add(1, Ordering::Relaxed) >= MOST_REQUESTS {
            open.fetch_sub(1, Ordering::Relaxed);
            let _ = Answer::error(503, "too many requests at once").write(&stream);
            continue;
        }
        let (crm, open) = (Arc::clone(&crm), Arc::clone(&open));
        thread::spawn(move || {
            let request = Request::read(&stream);
            let answer = request.map_or_else(|answer| answer, |request| crm.answer(&request));
            // Whoever asked may be gone.
            let _ = answer.write(&stream);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    Ok(())
}
