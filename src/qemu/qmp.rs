//! QEMU's control socket: short sessions, one at a time, each under one deadline.
//!
//! Protocol: <https://www.qemu.org/docs/master/interop/qmp-spec.html>.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::layout::VmDir;
use crate::host::socket;
use crate::vm::state::Answer;

/// How long a whole session may take. QEMU answers in milliseconds unless it is stuck; that it is has to show in `ls`
/// within two seconds.
pub const LIMIT: Duration = Duration::from_millis(1500);

/// The longest reply that is read, in bytes.
const MAX_REPLY: u64 = 1 << 20;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// Nobody listens.
    #[error("QEMU's control socket is not there")]
    Absent,
    /// No answer in time.
    #[error("QEMU does not answer on its control socket")]
    Silent,
    /// The connection broke.
    #[error("QEMU's control socket failed")]
    Broken(#[source] io::Error),
    /// QEMU refused.
    #[error("QEMU refused `{command}`: {reason}")]
    Refused {
        /// The command.
        command: &'static str,
        /// QEMU's words.
        reason: String,
    },
}

impl Diagnostic for QmpError {
    fn kind(&self) -> Kind {
        match self {
            Self::Silent => Kind::Timeout,
            Self::Absent | Self::Broken(_) | Self::Refused { .. } => Kind::Failed,
        }
    }
}

/// Runs one command and returns its result.
pub async fn execute(dir: &VmDir, command: &'static str) -> Result<Value, QmpError> {
    execute_with(dir, command, &json!({})).await
}

/// Runs one command with arguments, a JSON object, and returns its result.
pub async fn execute_with(dir: &VmDir, command: &'static str, arguments: &Value) -> Result<Value, QmpError> {
    timeout(LIMIT, session(dir, command, arguments)).await.unwrap_or(Err(QmpError::Silent))
}

/// Runs a line of the monitor that people use, for what the protocol has no command for, and returns its words. Those
/// alone tell whether it worked, and each command has its own.
pub async fn monitor(dir: &VmDir, line: &str) -> Result<String, QmpError> {
    let said = execute_with(dir, "human-monitor-command", &json!({ "command-line": line })).await?;
    Ok(said.as_str().unwrap_or_default().trim().to_owned())
}

/// Asks what QEMU is doing.
pub async fn status(dir: &VmDir) -> Answer {
    match execute(dir, "query-status").await {
        Ok(result) => match result.get("status").and_then(Value::as_str).unwrap_or_default() {
            "running" => Answer::Running,
            "paused" | "prelaunch" | "suspended" | "save-vm" | "restore-vm" | "debug" => Answer::Paused,
            // On its way out: what it is doing will show in the lock.
            "shutdown" | "finish-migrate" | "postmigrate" | "inmigrate" => Answer::Paused,
            other => Answer::Failed(other.to_owned()),
        },
        Err(QmpError::Absent) => Answer::Absent,
        // A connection that breaks is a QEMU that ends or another client that had its turn.
        Err(QmpError::Silent | QmpError::Broken(_)) => Answer::Silent,
        Err(QmpError::Refused { reason, .. }) => Answer::Failed(reason),
    }
}

async fn session(dir: &VmDir, command: &'static str, arguments: &Value) -> Result<Value, QmpError> {
    let mut stream = BufReader::new(connect(dir).await?);
    // The greeting comes when QEMU has time for this client.
    reply(&mut stream, "greeting").await?;
    let mut result = Value::Null;
    let nothing = json!({});
    for (command, arguments) in [("qmp_capabilities", &nothing), (command, arguments)] {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        stream.write_all(line.as_bytes()).await.map_err(QmpError::Broken)?;
        result = loop {
            let answer = reply(&mut stream, command).await?;
            if let Some(result) = answer.get("return") {
                break result.clone();
            }
            if let Some(error) = answer.get("error") {
                let reason = error.get("desc").and_then(Value::as_str).unwrap_or_default().to_owned();
                return Err(QmpError::Refused { command, reason });
            }
            // Anything else is an event, which nobody asked for.
        };
    }
    Ok(result)
}

async fn reply(stream: &mut BufReader<UnixStream>, command: &'static str) -> Result<Value, QmpError> {
    let mut line = Vec::new();
    let read = (&mut *stream).take(MAX_REPLY).read_until(b'\n', &mut line).await.map_err(QmpError::Broken)?;
    if read == 0 {
        // After `quit` QEMU is free to end before it answers.
        return if command == "quit" {
            Ok(json!({ "return": {} }))
        } else {
            Err(QmpError::Broken(io::ErrorKind::UnexpectedEof.into()))
        };
    }
    serde_json::from_slice(&line).map_err(|error| QmpError::Broken(error.into()))
}

async fn connect(dir: &VmDir) -> Result<UnixStream, QmpError> {
    let absent = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => QmpError::Absent,
        // The queue of waiting clients is full.
        io::ErrorKind::WouldBlock => QmpError::Silent,
        _ => QmpError::Broken(error),
    };
    let (_open, path) = socket::short(dir.path(), VmDir::QMP_SOCKET).map_err(absent)?;
    UnixStream::connect(path).await.map_err(absent)
}
