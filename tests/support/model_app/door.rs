//! The app's door: a listener that can be shut, so that a test knows that nothing was sent.
//!
//! A closed port would be refused at once, and whoever asks would know. A shut door lets callers wait
//! as a host does that does not answer: the kernel completes no connection, so not one byte of a
//! request leaves the caller.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::eventually;

/// A listener and what serves it. It stops when dropped.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    router: Router,
    state: Mutex<State>,
}

enum State {
    Open(JoinHandle<()>),
    /// The one connection that the queue has room for, and the listener that does not accept it.
    Shut(#[allow(dead_code, reason = "held")] (TcpListener, TcpStream)),
    /// Between the two.
    Nothing,
}

/// On loopback a connection comes about at once, or not at all.
const FILLED_WITHIN: Duration = Duration::from_millis(500);

impl Door {
    pub(super) fn open(listener: TcpListener, router: Router) -> Self {
        Self {
            address: listener.local_addr().unwrap(),
            state: Mutex::new(State::Open(serve(listener, router.clone()))),
            router,
        }
    }

    /// Lets nobody in any more; requests that are inside already go on.
    pub(super) async fn shut(&self) {
        let mut state = self.state.lock().await;
        let State::Open(server) = std::mem::replace(&mut *state, State::Nothing) else {
            panic!("it is shut already");
        };
        server.abort();
        let _ = server.await;
        loop {
            let socket = self.bound().await;
            // A queue of none has room for one, and this is the one.
            let listener = socket.listen(0).unwrap();
            let filler = timeout(FILLED_WITHIN, TcpStream::connect(self.address)).await;
            if let Ok(Ok(filler)) = filler {
                *state = State::Shut((listener, filler));
                return;
            }
            // Somebody else was faster, and is hung up on.
        }
    }

    /// A socket at the address. The listener that was there is closed, but a process that is just being
    /// started holds everything open that this one had open, for a moment.
    async fn bound(&self) -> TcpSocket {
        let mut bound = None;
        eventually("the address is free", async || {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            bound = socket.bind(self.address).is_ok().then_some(socket);
            bound.is_some()
        })
        .await;
        bound.unwrap()
    }

    pub(super) async fn unshut(&self) {
        let mut state = self.state.lock().await;
        assert!(matches!(*state, State::Shut(_)), "it is open already");
        *state = State::Nothing;
        let listener = self.bound().await.listen(1024).unwrap();
        *state = State::Open(serve(listener, self.router.clone()));
    }
}

fn serve(listener: TcpListener, router: Router) -> JoinHandle<()> {
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
}

impl Drop for Door {
    fn drop(&mut self) {
        if let State::Open(server) = self.state.get_mut() {
            server.abort();
        }
    }
}
