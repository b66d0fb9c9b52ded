//! What the servers log, as lines of the trace.

use std::io;
use std::sync::Arc;

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::trace::{Kind, Trace};

/// Until the guard is dropped, what is logged on this thread is told.
pub(crate) fn into_trace(trace: &Arc<Trace>) -> DefaultGuard {
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_env_filter(EnvFilter::new("info,tower_http=warn"))
        .with_writer(Lines(Arc::clone(trace)))
        .finish();
    tracing::subscriber::set_default(subscriber)
}

/// Each write is a line.
struct Lines(Arc<Trace>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl io::Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.tell(Kind::Log, || text.trim().to_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
