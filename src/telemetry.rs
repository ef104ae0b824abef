//! What the daemon tells about itself: logs on stderr and numbers for `/metrics`.
//!
//! Owns the form of a log line and the last guard before it leaves: every finished line passes the [`Redactor`], so
//! a secret or a phone number that slipped into a message does not leave the process. It does not decide what is
//! logged; that is for who handles the error.

use std::{io, sync::Arc};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

mod metrics;
mod redact;

pub use metrics::{Ceiling, Metrics, WebhookOutcome};
pub use redact::Redactor;

/// Overrides the level, in the words of `tracing`: `debug`, `info,perimeterd::delivery=trace`.
pub const LOG_VARIABLE: &str = "PERIMETERD_LOG";

/// For whom log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line for people, coloured on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Installs the log for this process. `level` counts where [`LOG_VARIABLE`] is not set. Secrets may be registered
/// with `redactor` at any time later.
///
/// # Errors
/// A sentence, if the level cannot be read or a log is installed already.
pub fn init(format: LogFormat, level: &str, redactor: &Arc<Redactor>) -> Result<(), String> {
    let wanted = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::try_new(&wanted)
        .map_err(|e| format!("`{wanted}` is not a log level ({e}); try `info` or `perimeterd=debug`"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let writer = Redacting(Arc::clone(redactor));
    let installed = match format {
        LogFormat::Human => {
            let ansi = io::IsTerminal::is_terminal(&io::stderr());
            registry.with(tracing_subscriber::fmt::layer().with_ansi(ansi).with_writer(writer)).try_init()
        }
        LogFormat::Json => registry
            .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer))
            .try_init(),
    };
    installed.map_err(|e| format!("the log could not be installed: {e}"))
}

/// Makes one [`Line`] per event.
struct Redacting(Arc<Redactor>);

impl<'a> MakeWriter<'a> for Redacting {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { redactor: &self.0, bytes: Vec::new() }
    }
}

/// One log line in the making; written when it is finished, so that nothing can hide at the border of two writes.
struct Line<'a> {
    redactor: &'a Redactor,
    bytes: Vec<u8>,
}

impl io::Write for Line<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        // A log that cannot be written has nobody left to be told.
        let _ = io::Write::write_all(&mut io::stderr().lock(), self.redactor.redact(&text).as_bytes());
    }
}
