//! A request → verdict and events: authentication, handshakes, splitting. Pure.
