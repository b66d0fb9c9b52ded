//! The simulator over real sockets, as a client of Railway and of its agents meets it.

mod faults;
mod railway;
mod support;
