//! Reads `DATABASE_URL`. The driver knows only three of libpq's `sslmode`s and no `sslrootcert`, so
//! these are taken out before it reads the rest. No error ever holds a part of the URL that may be
//! its password.

use std::path::PathBuf;

use pool_domain::Secret;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// Why `DATABASE_URL` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Something else than a URL.
    #[error("DATABASE_URL must begin with postgres:// or postgresql://")]
    Scheme,
    /// Anything that the driver cannot read.
    #[error(
        "DATABASE_URL cannot be read: it must look like \
         postgres://user:password@host:5432/database, with special characters of the password \
         percent-encoded"
    )]
    Shape,
    /// No host, and no directory of a Unix socket.
    #[error("DATABASE_URL names no host")]
    NoHost,
    /// A mode that libpq does not have either.
    #[error(
        "DATABASE_URL: sslmode must be one of disable, allow, prefer, require, verify-ca and \
         verify-full"
    )]
    SslMode,
    /// We write, so what can only be read is of no use.
    #[error("DATABASE_URL: target_session_attrs must be read-write, primary or any")]
    TargetSession,
    /// A parameter that would be ignored silently.
    #[error("DATABASE_URL has a parameter that is not supported: {0}")]
    Parameter(String),
}

/// Where the database is, and how its connections are encrypted.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) config: Config,
    pub(crate) tls: TlsMode,
}

/// libpq's `sslmode`: whether to encrypt, and whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsMode {
    /// Never encrypted, whatever the server offers.
    Disable,
    /// Encrypted where the server can; verifies nothing.
    Prefer,
    /// Encrypted; verifies nothing, as libpq does.
    Require,
    /// Encrypted; the certificate must come from one of these roots.
    VerifyCa(Roots),
    /// And must be for this host.
    VerifyFull(Roots),
}

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Those of the operating system, or Mozilla's where it has none.
    System,
    /// Those in this PEM file.
    File(PathBuf),
}

impl Address {
    pub(crate) fn parse(url: &Secret) -> Result<Self, AddressError> {
        let url = url.expose().trim();
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(AddressError::Scheme);
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let parameters = Parameters::split(query)?;
        let tls = parameters.tls()?;
        let mut config: Config = parameters
            .url_for_driver(base)
            .parse()
            .map_err(|_| AddressError::Shape)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(AddressError::NoHost);
        }
        // As in libpq, nothing is encrypted that never leaves the machine.
        let only_sockets = config.get_hostaddrs().is_empty()
            && config
                .get_hosts()
                .iter()
                .all(|host| matches!(host, Host::Unix(_)));
        let tls = if only_sockets { TlsMode::Disable } else { tls };
        config.target_session_attrs(parameters.target);
        config.ssl_mode(match tls {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        Ok(Self { config, tls })
    }
}

/// What the driver reads by itself.
const OF_DRIVER: [&str; 16] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "channel_binding",
];

struct Parameters<'a> {
    ssl_mode: Option<&'a str>,
    ssl_root_cert: Option<PathBuf>,
    target: TargetSessionAttrs,
    others: Vec<&'a str>,
}

impl<'a> Parameters<'a> {
    fn split(query: &'a str) -> Result<Self, AddressError> {
        let mut found = Self {
            ssl_mode: None,
            ssl_root_cert: None,
            target: TargetSessionAttrs::ReadWrite,
            others: Vec::new(),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(AddressError::Shape)?;
            match name {
                "sslmode" => found.ssl_mode = Some(value),
                "sslrootcert" => {
                    let path = percent_decode(value).ok_or(AddressError::Shape)?;
                    found.ssl_root_cert = Some(PathBuf::from(path));
                }
                "target_session_attrs" => {
                    found.target = match value {
                        "any" => TargetSessionAttrs::Any,
                        "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
                        _ => return Err(AddressError::TargetSession),
                    };
                }
                name if OF_DRIVER.contains(&name) => found.others.push(pair),
                name if is_harmless(name) && !query.contains('@') => {
                    return Err(AddressError::Parameter(name.to_owned()));
                }
                // A password with an unescaped question mark ends up here.
                _ => return Err(AddressError::Shape),
            }
        }
        Ok(found)
    }

    fn tls(&self) -> Result<TlsMode, AddressError> {
        let file = self
            .ssl_root_cert
            .clone()
            .filter(|path| path.as_os_str() != "system");
        let roots = file.clone().map_or(Roots::System, Roots::File);
        Ok(match self.ssl_mode.unwrap_or("prefer") {
            "disable" => TlsMode::Disable,
            // libpq's `allow` tries without TLS first; with it first is never worse.
            "allow" | "prefer" => TlsMode::Prefer,
            // As in libpq, a root that is given is used.
            "require" if file.is_some() => TlsMode::VerifyCa(roots),
            "require" => TlsMode::Require,
            "verify-ca" => TlsMode::VerifyCa(roots),
            "verify-full" => TlsMode::VerifyFull(roots),
            _ => return Err(AddressError::SslMode),
        })
    }

    fn url_for_driver(&self, base: &str) -> String {
        if self.others.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", self.others.join("&"))
        }
    }
}

/// Looks like the name of a parameter, and not like the end of a password.
fn is_harmless(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(url: &str) -> Result<Address, AddressError> {
        Address::parse(&Secret::new(url))
    }

    fn mode(query: &str) -> TlsMode {
        parse(&format!("postgres://u:p@h/d{query}")).unwrap().tls
    }

    #[test]
    fn every_sslmode_of_libpq_is_honoured_and_none_means_prefer() {
        let file = || Roots::File("/etc/my roots.pem".into());
        assert_eq!(mode(""), TlsMode::Prefer);
        assert_eq!(mode("?sslmode=disable"), TlsMode::Disable);
        assert_eq!(mode("?sslmode=allow"), TlsMode::Prefer);
        assert_eq!(mode("?sslmode=prefer"), TlsMode::Prefer);
        assert_eq!(mode("?sslmode=require"), TlsMode::Require);
        assert_eq!(mode("?sslmode=verify-ca"), TlsMode::VerifyCa(Roots::System));
        assert_eq!(
            mode("?sslrootcert=/etc/my%20roots.pem&sslmode=verify-full"),
            TlsMode::VerifyFull(file())
        );
        assert_eq!(
            mode("?sslmode=require&sslrootcert=/etc/my%20roots.pem"),
            TlsMode::VerifyCa(file())
        );
        assert_eq!(
            mode("?sslmode=verify-full&sslrootcert=system"),
            TlsMode::VerifyFull(Roots::System)
        );
    }

    #[test]
    fn what_the_driver_knows_is_left_to_it() {
        let address =
            parse("postgres://u@h/d?application_name=x&sslmode=verify-full&connect_timeout=3")
                .unwrap();
        assert_eq!(address.config.get_application_name(), Some("x"));
        assert_eq!(address.config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn a_session_must_write_unless_the_url_says_any() {
        let target = |query: &str| {
            let address = parse(&format!("postgres://u@h,i/d{query}"));
            address.map(|it| it.config.get_target_session_attrs())
        };
        assert_eq!(target(""), Ok(TargetSessionAttrs::ReadWrite));
        assert_eq!(
            target("?target_session_attrs=primary"),
            Ok(TargetSessionAttrs::ReadWrite)
        );
        assert_eq!(
            target("?target_session_attrs=any"),
            Ok(TargetSessionAttrs::Any)
        );
        assert_eq!(
            target("?target_session_attrs=standby"),
            Err(AddressError::TargetSession)
        );
    }

    #[test]
    fn a_socket_directory_is_a_host_and_needs_no_tls() {
        for url in [
            "postgres://postgres@%2Ftmp%2Fx:5433/d?sslmode=require",
            "postgres:///d?host=/tmp/x&sslmode=verify-full",
        ] {
            let address = parse(url).unwrap();
            assert_eq!(address.config.get_hosts().len(), 1);
            assert_eq!(address.tls, TlsMode::Disable, "it never leaves the machine");
        }
    }

    #[test]
    fn a_bad_url_gets_a_sentence_without_its_password() {
        for (url, sentence) in [
            (
                "",
                "DATABASE_URL must begin with postgres:// or postgresql://",
            ),
            (
                "mysql://u:hunter2@h/d",
                "DATABASE_URL must begin with postgres:// or postgresql://",
            ),
            ("postgres://u:hun?ter2@h/d", "DATABASE_URL cannot be read"),
            ("postgres://u:hun?ter2=@h/d", "DATABASE_URL cannot be read"),
            (
                "postgres://u:hunter2@h:port/d",
                "DATABASE_URL cannot be read",
            ),
            ("postgres:///d", "DATABASE_URL names no host"),
            (
                "postgres://u:hunter2@h/d?sslmode=on",
                "DATABASE_URL: sslmode must be one of",
            ),
            (
                "postgres://u:hunter2@h/d?pgbouncer=true",
                "DATABASE_URL has a parameter that is not supported: pgbouncer",
            ),
        ] {
            let error = parse(url).err().unwrap().to_string();
            assert!(error.starts_with(sentence), "{url}: {error}");
            assert!(!error.contains("hun") && !error.contains("ter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_no_error_tells_what_may_be_a_password(
            rest in "[a-z0-9:@/?&=%._-]{0,40}|\\PC{0,30}",
            password in "[a-zA-Z0-9]{12}",
        ) {
            for url in [
                format!("postgres://user:{password}@host/{rest}"),
                format!("postgres://{rest}:{password}@{rest}"),
                format!("{rest}{password}"),
                format!("postgres://host/d?password={password}&{rest}"),
            ] {
                if let Err(error) = parse(&url) {
                    let said = format!("{error} {error:?}");
                    prop_assert!(!said.contains(&password), "{}", said);
                }
            }
        }

        #[test]
        fn every_password_comes_through_percent_encoded(password in "\\PC{1,30}") {
            let bytes = password.bytes().map(|byte| format!("%{byte:02X}"));
            let encoded = bytes.collect::<Vec<_>>().concat();
            for mode in ["", "?sslmode=verify-full&sslrootcert=system", "?sslmode=disable"] {
                let address = parse(&format!("postgres://u:{encoded}@h/d{mode}")).unwrap();
                prop_assert_eq!(address.config.get_password(), Some(password.as_bytes()));
            }
        }
    }
}
