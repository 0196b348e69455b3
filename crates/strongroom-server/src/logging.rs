//! The server's own log, on stderr. It holds no secrets, tokens or bodies.

use tracing_subscriber::filter::LevelFilter;

use crate::config::{Log, LogFormat, LogLevel};

/// Whether the log may use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Allowed,
    /// Everywhere else.
    None,
}

/// Sends the log to stderr. A second call changes nothing.
pub fn start(log: Log, colour: Colour) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    // An error means that there is a log already.
    let _ = match log.format {
        LogFormat::Text => builder.with_ansi(colour == Colour::Allowed).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    log_panics();
}

/// A panic is logged by its place only: its message may repeat what a request said.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(place, thread, "a panic: please report this");
    }));
}
