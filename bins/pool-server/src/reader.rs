//! Reads settings one by one, and notes all that are missing or wrong, so that they can be said at
//! once.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use url::Url;

/// A setting that cannot be used. The sentence names it, and never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    /// A required one is missing.
    #[error("{0} is required")]
    Missing(&'static str),
    /// It is sent in a header, and holds what a header cannot hold.
    #[error("{0} must be visible ASCII characters without blanks")]
    NotForHeader(&'static str),
    /// One of two must be set.
    #[error("{0} or {1} is required")]
    MissingBoth(&'static str, &'static str),
    /// Its value is not of its kind.
    #[error("{name} must be {expected}, not '{value}'")]
    Bad {
        /// The variable that holds it.
        name: &'static str,
        /// The kind of value, in words.
        expected: &'static str,
        /// The value as it was given; never a secret's.
        value: String,
    },
    /// Two settings that are well formed rule each other out.
    #[error(transparent)]
    Contradiction(#[from] pool_domain::PolicyError),
}

/// All that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSettings(Vec<BadSetting>);

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = &*self.0 {
            return only.fmt(f);
        }
        write!(f, "{} settings are missing or wrong:", self.0.len())?;
        self.0.iter().try_for_each(|bad| write!(f, "\n  {bad}"))
    }
}

impl std::error::Error for BadSettings {}

impl From<BadSetting> for BadSettings {
    fn from(bad: BadSetting) -> Self {
        Self(vec![bad])
    }
}

/// Every duration is at least this long: shorter ones are mistakes of unit.
const DURATION_MIN_MS: u64 = 100;
/// And at most a day.
const DURATION_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// Gives something to go on with for each, right or wrong, until [`Reader::end`] says what was wrong.
#[derive(Debug, Default)]
pub(crate) struct Reader(RefCell<Vec<BadSetting>>);

impl Reader {
    pub(crate) fn fault(&self, bad: BadSetting) {
        self.0.borrow_mut().push(bad);
    }

    /// What was read; something instead where it cannot be used.
    pub(crate) fn or<T>(&self, read: Result<T, BadSetting>, instead: T) -> T {
        read.unwrap_or_else(|bad| {
            self.fault(bad);
            instead
        })
    }

    pub(crate) fn required<T>(
        &self,
        name: &'static str,
        value: Option<T>,
        instead: impl FnOnce() -> T,
    ) -> T {
        value.unwrap_or_else(|| {
            self.fault(BadSetting::Missing(name));
            instead()
        })
    }

    /// One of the choices, the first of which is the default.
    pub(crate) fn one_of(
        &self,
        name: &'static str,
        value: Option<&String>,
        choices: &[&'static str],
        expected: &'static str,
    ) -> String {
        let value = text(value).unwrap_or_else(|| choices[0].to_owned());
        if !choices.contains(&value.as_str()) {
            self.fault(bad(name, expected, &value));
        }
        value
    }

    pub(crate) fn url(&self, name: &'static str, value: Option<&String>, default: &str) -> String {
        let value = text(value).unwrap_or_else(|| default.to_owned());
        let parsed = Url::parse(&value).ok();
        let fits =
            parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !fits {
            self.fault(bad(name, "an http or https URL", &value));
        }
        value
    }

    pub(crate) fn number<T: TryFrom<u64>>(
        &self,
        name: &'static str,
        value: Option<&String>,
        range: RangeInclusive<u64>,
        default: T,
    ) -> T {
        let Some(value) = text(value) else {
            return default;
        };
        let parsed = value.parse().ok().filter(|number| range.contains(number));
        let number = parsed.and_then(|number| T::try_from(number).ok());
        self.or(
            number.ok_or_else(|| bad(name, expected_number(name), &value)),
            default,
        )
    }

    pub(crate) fn duration(
        &self,
        name: &'static str,
        value: Option<&String>,
        default: Duration,
    ) -> Duration {
        let Some(value) = text(value) else {
            return default;
        };
        let ms = value
            .parse()
            .ok()
            .filter(|ms| (DURATION_MIN_MS..=DURATION_MAX_MS).contains(ms));
        let expected = "a whole number of ms from 100 to 86400000 (24 h)";
        let duration = ms.map(Duration::from_millis);
        self.or(duration.ok_or_else(|| bad(name, expected, &value)), default)
    }

    pub(crate) fn end(self) -> Result<(), BadSettings> {
        let bad = self.0.into_inner();
        if bad.is_empty() {
            return Ok(());
        }
        Err(BadSettings(bad))
    }
}

/// An empty value counts as not set.
pub(crate) fn text(value: Option<&String>) -> Option<String> {
    value
        .map(|value| value.trim())
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
}

pub(crate) fn bad(name: &'static str, expected: &'static str, value: &str) -> BadSetting {
    BadSetting::Bad {
        name,
        expected,
        value: value.to_owned(),
    }
}

fn expected_number(name: &str) -> &'static str {
    match name {
        "PORT" => "a whole number from 0 to 65535",
        "POOL_UNHEALTHY_AFTER" => "a whole number from 1 to 1000",
        "POOL_EVENT_RETENTION_DAYS" => "a whole number of days from 1 to 3650",
        _ => "a whole number from 0 to 100000",
    }
}
