//! How a server is to be started.

use std::path::PathBuf;
use std::time::Duration;

use crate::Programs;

/// PostgreSQL's own default.
const MAX_CONNECTIONS: u16 = 100;

/// How a server is to be started, and where.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) programs: Programs,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) below: Option<PathBuf>,
    pub(crate) durable: bool,
    pub(crate) max_connections: u16,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) idle_limit: Option<Duration>,
}

impl Options {
    /// A server in `dir`, which is made where it is missing and stays when the server stops.
    #[must_use]
    pub fn in_dir(programs: Programs, dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: Some(dir.into()),
            ..Self::temporary(programs)
        }
    }

    /// A server in a new directory below the temporary one, which goes when the server stops. Both
    /// go by themselves when this process is killed, since nobody would ever find them.
    #[must_use]
    pub fn temporary(programs: Programs) -> Self {
        Self {
            programs,
            dir: None,
            below: None,
            durable: false,
            max_connections: MAX_CONNECTIONS,
            settings: Vec::new(),
            certificate: None,
            idle_limit: None,
        }
    }

    /// Where a temporary server's directory is made, instead of the usual place: in memory, say.
    #[must_use]
    pub fn below(mut self, dir: impl Into<PathBuf>) -> Self {
        self.below = Some(dir.into());
        self
    }

    /// Whether what was committed survives a crash of the machine (`fsync` and the like). Off
    /// unless asked for: it costs most of the time of a test.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// `max_connections`, 100 unless asked for.
    #[must_use]
    pub fn max_connections(mut self, max_connections: u16) -> Self {
        self.max_connections = max_connections;
        self
    }

    /// Any other setting of `postgresql.conf`; the last one of a name wins.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Lets the server speak TLS.
    #[must_use]
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Lets the server end by itself once nobody was connected, and nobody adopted it, for `limit`
    /// (counted in whole minutes): for one that is left running. A temporary one ends with its
    /// manager in any case.
    #[must_use]
    pub fn end_when_idle(mut self, limit: Duration) -> Self {
        self.idle_limit = Some(limit);
        self
    }
}

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
}

impl Certificate {
    /// From the texts of the two files.
    #[must_use]
    pub fn from_pem(chain_pem: impl Into<String>, key_pem: impl Into<String>) -> Self {
        Self {
            chain_pem: chain_pem.into(),
            key_pem: key_pem.into(),
        }
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate { key: redacted }")
    }
}
