//! Why nothing came of it, in a sentence or as JSON, and the exit code.

use std::process::ExitCode;

use pool_db::Error;
use pool_domain::chain;
use pool_railway::ErrorClass;
use serde_json::json;

/// A sentence for a person, and the exit code for a script.
#[derive(Debug)]
pub(crate) struct Failure {
    sentence: String,
    code: u8,
}

impl Failure {
    /// The command line or a setting cannot be used.
    pub(crate) fn usage(sentence: &str) -> Self {
        Self {
            sentence: sentence.to_owned(),
            code: 2,
        }
    }

    /// It may be right another time, and is not now.
    pub(crate) fn refused(sentence: &str) -> Self {
        Self {
            sentence: sentence.to_owned(),
            code: 1,
        }
    }

    /// Somebody else is away.
    pub(crate) fn try_again(sentence: &str) -> Self {
        Self {
            sentence: sentence.to_owned(),
            code: 3,
        }
    }

    pub(crate) fn print(&self, as_json: bool) -> ExitCode {
        if as_json {
            println!("{}", json!({ "error": self.sentence }));
        } else {
            eprintln!("pool-migrate: {}", self.sentence);
        }
        ExitCode::from(self.code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::ReadAddress(_)
            | Error::LoadCertificates(_)
            | Error::RefuseLogin(_)
            | Error::ThroughPooler
            | Error::TooOld { .. }
            | Error::FindSchema => 2,
            Error::AwaitMigration { .. } => 3,
            error if error.is_unavailable() => 3,
            _ => 1,
        };
        let sentence = chain(&error);
        Self { sentence, code }
    }
}

impl From<pool_railway::Error> for Failure {
    fn from(error: pool_railway::Error) -> Self {
        let code = match error.class() {
            ErrorClass::NotAuthorized | ErrorClass::NotFound | ErrorClass::BadRequest => 2,
            _ => 3,
        };
        let sentence = chain(&error);
        Self { sentence, code }
    }
}
