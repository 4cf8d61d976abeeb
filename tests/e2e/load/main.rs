//! What the end-to-end tests put into the cluster: an app that sends at a steady rate, and the sink that its events should
//! reach, in one program, so that one place knows what was acknowledged and what arrived.
//!
//! Open loop: the n-th request is due at a fixed time whether or not the ones before were answered, and its latency counts
//! from then. A request without an answer was not acknowledged; it is neither sent again nor missed.
//!
//! `GET /report` tells all of it as JSON; `GET /sink/down` and `/sink/up` make the sink refuse and take; `GET /stop` ends
//! the sending. The standard library only, so that it is built in a moment.

mod http;
mod tally;

use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use http::{Connection, Message};
use tally::Tally;

const HELP: &str = "\
Usage: load --url URL --token TOKEN [--body TEXT] [--rate PER_SECOND] [--seconds SECONDS] [--connections N]
            [--listen ADDRESS]

In the body, #n stands for the number of the request. Its event is known again by the id `e-` and the number.";

/// What is sent unless the caller says something else.
const BODY: &str = r##"{"id": "e-#n", "account": "acme", "total": #n}"##;

struct Options {
    url: String,
    token: String,
    body: String,
    rate: u64,
    seconds: u64,
    connections: u64,
    listen: String,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            url: String::new(),
            token: String::new(),
            body: BODY.to_owned(),
            rate: 10,
            seconds: 1,
            connections: 32,
            listen: "0.0.0.0:9090".to_owned(),
        };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} needs a value", pair[0]));
            };
            let number = || value.parse().map_err(|_| format!("{value} is no number"));
            match name.as_str() {
                "--url" => options.url = value.clone(),
                "--token" => options.token = value.clone(),
                "--body" => options.body = value.clone(),
                "--rate" => options.rate = number()?,
                "--seconds" => options.seconds = number()?,
                "--connections" => options.connections = number()?,
                "--listen" => options.listen = value.clone(),
                _ => return Err(format!("there is no option {name}")),
            }
        }
        if !options.url.starts_with("http://") || options.rate == 0 {
            return Err("--url must begin with http://, and --rate be at least 1".to_owned());
        }
        Ok(options)
    }
}

struct World {
    options: Options,
    began: Instant,
    next: AtomicU64,
    senders: AtomicU64,
    is_stopped: AtomicBool,
    is_sink_down: AtomicBool,
    tally: Mutex<Tally>,
}

impl World {
    fn tally(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match Options::read(&arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let listener = match TcpListener::bind(&options.listen) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("failed to listen on {}: {error}", options.listen);
            return ExitCode::FAILURE;
        }
    };
    let connections = options.connections;
    let world = Arc::new(World {
        options,
        began: Instant::now(),
        next: AtomicU64::new(0),
        senders: AtomicU64::new(connections),
        is_stopped: AtomicBool::new(false),
        is_sink_down: AtomicBool::new(false),
        tally: Mutex::default(),
    });
    for _ in 0..connections {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            send(&world);
            world.senders.fetch_sub(1, Ordering::SeqCst);
        });
    }
    for stream in listener.incoming().flatten() {
        let world = Arc::clone(&world);
        thread::spawn(move || serve(&world, stream));
    }
    ExitCode::SUCCESS
}

/// Sends what is due, over one connection as long as it holds.
fn send(world: &World) {
    let Options {
        url,
        token,
        body,
        rate,
        seconds,
        connections: _,
        listen: _,
    } = &world.options;
    let mut connection = Connection::to(url);
    while !world.is_stopped.load(Ordering::SeqCst) {
        let number = world.next.fetch_add(1, Ordering::SeqCst);
        if number >= rate * seconds {
            return;
        }
        let after = Duration::from_nanos(number * 1_000_000_000 / rate);
        let due = world.began + after;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let answer = connection.post(token, &body.replace("#n", &number.to_string()));
        let took = due.elapsed();
        world.tally(|tally| match answer {
            Ok(status) => tally.answered(format!("e-{number}"), status, after, took),
            Err(error) => tally.unanswered(&error, after),
        });
    }
}

/// The sink, and what the tests ask.
fn serve(world: &World, stream: TcpStream) {
    let Ok(mut requests) = Message::over(stream) else {
        return;
    };
    while let Some(request) = requests.next() {
        let (status, body) = match request.path.as_str() {
            "/report" => {
                let is_done = world.senders.load(Ordering::SeqCst) == 0;
                let mut report = String::new();
                let now = world.began.elapsed();
                world.tally(|tally| report = tally.report(is_done, now));
                (200, report)
            }
            "/sink/down" => {
                world.is_sink_down.store(true, Ordering::SeqCst);
                (200, String::new())
            }
            "/sink/up" => {
                world.is_sink_down.store(false, Ordering::SeqCst);
                (200, String::new())
            }
            "/stop" => {
                world.is_stopped.store(true, Ordering::SeqCst);
                (200, String::new())
            }
            _ if world.is_sink_down.load(Ordering::SeqCst) => (503, String::new()),
            _ => {
                world.tally(|tally| tally.received(request.event_id.unwrap_or_default()));
                (204, String::new())
            }
        };
        if requests.answer(status, &body).is_err() {
            return;
        }
    }
}
