//! What nobody else has: a free port, a new key.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use anyhow::{Context, Result};

/// This port if it is free, or any free one for 0; looked for as the server will listen: on IPv6
/// and IPv4 together where the machine has both.
pub fn free_port(port: u16) -> Result<u16> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
        .context("no free port could be had")?;
    Ok(listener
        .local_addr()
        .context("no free port could be had")?
        .port())
}

/// A key that nobody else on this machine knows: 128 bits, as hexadecimal digits.
pub fn new_key() -> Result<String> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.context("/dev/urandom could not be read")?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
