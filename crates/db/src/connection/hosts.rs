//! Several hosts, of which one is the primary: each is tried in its turn, and none is waited for long.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::error::Error;

/// A host that has not answered by then is not given up, but the next one is asked as well: what a
/// dead host costs. A healthy one answers within 50 ms.
const NEXT_AFTER: Duration = Duration::from_secs(1);

/// The same address for each host alone, in their order.
pub(crate) fn each(config: &Config) -> Vec<Config> {
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    let ports = config.get_ports();
    let count = hosts.len().max(addresses.len());
    let single = |index: usize| {
        let mut single = without_hosts(config);
        match hosts.get(index) {
            Some(Host::Tcp(name)) => single.host(name),
            Some(Host::Unix(directory)) => single.host_path(directory),
            None => &mut single,
        };
        if let Some(address) = addresses.get(index) {
            single.hostaddr(*address);
        }
        if let Some(port) = ports.get(index).or_else(|| ports.first()) {
            single.port(*port);
        }
        single
    };
    (0..count).map(single).collect()
}

/// What the driver reads of an address, without its hosts, which cannot be taken away.
fn without_hosts(config: &Config) -> Config {
    let mut copy = Config::new();
    copy.ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding());
    if let Some(user) = config.get_user() {
        copy.user(user);
    }
    if let Some(password) = config.get_password() {
        copy.password(password);
    }
    if let Some(database) = config.get_dbname() {
        copy.dbname(database);
    }
    if let Some(options) = config.get_options() {
        copy.options(options);
    }
    if let Some(name) = config.get_application_name() {
        copy.application_name(name);
    }
    if let Some(limit) = config.get_connect_timeout() {
        copy.connect_timeout(*limit);
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        copy.tcp_user_timeout(*limit);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        copy.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        copy.keepalives_retries(retries);
    }
    copy
}

/// The first that can be had, the earlier host before the later one as far as it does not keep us
/// waiting; else what all of them said.
pub(crate) async fn first_of<'a, T, F>(
    hosts: &'a [Config],
    reach: impl Fn(&'a Config) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut waiting = hosts.iter();
    let mut asked = FuturesUnordered::new();
    let mut refusals = Vec::new();
    while let Some(next) = waiting.next() {
        asked.push(reach(next));
        tokio::select! {
            biased;
            Some(answer) = asked.next() => match answer {
                Ok(reached) => return Ok(reached),
                Err(refusal) => refusals.push(refusal),
            },
            () = sleep(NEXT_AFTER), if waiting.len() > 0 => {}
        }
    }
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(reached) => return Ok(reached),
            Err(refusal) => refusals.push(refusal),
        }
    }
    Err(of_all(refusals))
}

/// A login that one host refuses may be right at another that is away.
fn of_all(mut refusals: Vec<Error>) -> Error {
    if refusals.len() <= 1 {
        let none = || Error::Connect("DATABASE_URL names no host".to_owned());
        return refusals.pop().unwrap_or_else(none);
    }
    let words = |refusal: &Error| match refusal {
        Error::Connect(text) | Error::RefuseLogin(text) | Error::Exhaust(text) => text.clone(),
        other => other.to_string(),
    };
    let said = refusals.iter().map(words).collect::<Vec<_>>().join("; ");
    if refusals.iter().any(|it| matches!(it, Error::Exhaust(_))) {
        Error::Exhaust(said)
    } else if refusals
        .iter()
        .all(|it| matches!(it, Error::RefuseLogin(_)))
    {
        Error::RefuseLogin(said)
    } else {
        Error::Connect(said)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn three() -> Vec<Config> {
        each(
            &"postgres://u:p@a,b:7,c/d?application_name=x"
                .parse()
                .unwrap(),
        )
    }

    fn name(config: &Config) -> (&Host, u16) {
        (&config.get_hosts()[0], config.get_ports()[0])
    }

    #[test]
    fn each_host_keeps_its_port_and_everything_else() {
        let three = three();
        let names: Vec<_> = three.iter().map(name).collect();
        let host = |name: &str| Host::Tcp(name.to_owned());
        assert_eq!(
            names,
            [(&host("a"), 5432), (&host("b"), 7), (&host("c"), 5432)]
        );
        for one in &three {
            assert_eq!(one.get_hosts().len(), 1);
            assert_eq!(one.get_password(), Some(b"p".as_slice()));
            assert_eq!(one.get_application_name(), Some("x"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_silent_costs_a_second_and_one_that_refuses_nothing() {
        let (hosts, began) = (three(), Instant::now());
        let reach = async |host: &Config| match name(host).0 {
            Host::Tcp(name) if name == "a" => std::future::pending().await,
            Host::Tcp(name) if name == "b" => Err(Error::Connect("read-only".to_owned())),
            _ => Ok("c"),
        };
        assert_eq!(first_of(&hosts, reach).await.unwrap(), "c");
        assert_eq!(began.elapsed(), NEXT_AFTER);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_host_that_is_slow_is_still_taken() {
        let (hosts, began) = (three(), Instant::now());
        let reach = async |host: &Config| match name(host).0 {
            Host::Tcp(name) if name == "a" => {
                sleep(NEXT_AFTER * 3).await;
                Ok("a")
            }
            _ => Err(Error::RefuseLogin("nobody knows you".to_owned())),
        };
        assert_eq!(first_of(&hosts, reach).await.unwrap(), "a");
        assert_eq!(began.elapsed(), NEXT_AFTER * 3);
    }

    #[tokio::test]
    async fn what_all_of_them_said_is_told() {
        let hosts = three();
        let reach = async |host: &Config| match name(host).0 {
            Host::Tcp(name) if name == "a" => Err::<(), _>(Error::Connect("away".to_owned())),
            _ => Err(Error::RefuseLogin("nobody knows you".to_owned())),
        };
        let error = first_of(&hosts, reach).await.unwrap_err();
        assert!(error.is_unavailable());
        assert_eq!(
            error.to_string(),
            "the database cannot be reached: away; nobody knows you; nobody knows you"
        );
    }
}
