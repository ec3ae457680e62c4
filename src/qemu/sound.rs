//! Sound: an Intel HDA card in the guest, PulseAudio of this machine behind it, or PipeWire in its place.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::env::Seat;
use crate::host::process;
use crate::host::program::ProcessError;

/// How long QEMU may take to say what it has.
const LIMIT: Duration = Duration::from_secs(10);

/// By which of its drivers QEMU reaches this machine's sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// PulseAudio's protocol, which PipeWire speaks as well.
    PulseAudio,
    /// PipeWire's own.
    PipeWire,
}

/// Why a VM cannot have sound here.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    /// This QEMU was built without it.
    #[error("this QEMU plays neither to PulseAudio nor to PipeWire, only to: {known}")]
    NoDriver {
        /// What it has.
        known: String,
    },
    /// Nobody listens.
    #[error("no sound was found on this machine: {tried}")]
    NoServer {
        /// Where it was looked for, and what was found there.
        tried: String,
    },
    /// QEMU could not be asked.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl Diagnostic for SoundError {
    fn kind(&self) -> Kind {
        match self {
            Self::Process(error) => error.kind(),
            Self::NoDriver { .. } | Self::NoServer { .. } => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoDriver { .. } => vec![
                "Debian and Ubuntu have the driver in a package of its own: `sudo apt install qemu-system-gui`"
                    .to_owned(),
                "or make the VM without `--audio`".to_owned(),
            ],
            Self::NoServer { .. } => vec![
                "log in to a desktop, or name the server: `export PULSE_SERVER=unix:/path`".to_owned(),
                "or make the VM without `--audio`".to_owned(),
            ],
            Self::Process(error) => error.hints(),
        }
    }
}

impl Sound {
    /// Finds the driver of a QEMU by which somebody can be reached who plays it.
    pub fn find(qemu: &Path, seat: &Seat) -> Result<Self, SoundError> {
        let said = process::output(Command::new(qemu).args(["-audiodev", "help"]), LIMIT)?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let drivers: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.contains(' ')).collect();
        choose(&drivers, seat, |socket| UnixStream::connect(socket).map(drop))
    }

    /// Returns the names of the variables by which its driver finds who plays it.
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Self::PulseAudio => &["XDG_RUNTIME_DIR", "PULSE_SERVER", "PULSE_COOKIE"],
            Self::PipeWire => &["XDG_RUNTIME_DIR"],
        }
    }

    /// Returns QEMU's options.
    pub fn options(self) -> [(&'static str, String); 3] {
        let driver = match self {
            Self::PulseAudio => "pa",
            Self::PipeWire => "pipewire",
        };
        [
            ("-audiodev", format!("{driver},id=sound")),
            ("-device", "intel-hda".to_owned()),
            ("-device", "hda-duplex,audiodev=sound".to_owned()),
        ]
    }
}

fn choose(
    drivers: &[&str],
    seat: &Seat,
    connect: impl Fn(&Path) -> std::io::Result<()>,
) -> Result<Sound, SoundError> {
    let known = [(Sound::PulseAudio, "pa"), (Sound::PipeWire, "pipewire")];
    let mut usable = known.into_iter().filter(|(_, driver)| drivers.contains(driver)).peekable();
    if usable.peek().is_none() {
        let others = drivers.iter().filter(|driver| **driver != "none").copied().collect::<Vec<_>>();
        return Err(SoundError::NoDriver { known: others.join(", ") });
    }
    let mut tried = Vec::new();
    for (sound, _) in usable {
        let socket = match place(seat, sound) {
            Some(Place::Socket(socket)) => socket,
            // Somewhere on the network, or several places: PulseAudio's own library knows how to read that.
            Some(Place::Elsewhere) => return Ok(sound),
            None => {
                tried.push("XDG_RUNTIME_DIR is not set".to_owned());
                continue;
            }
        };
        match connect(&socket) {
            Ok(()) => return Ok(sound),
            Err(error) => tried.push(format!("`{}`: {error}", socket.display())),
        }
    }
    Err(SoundError::NoServer { tried: tried.join("; ") })
}

/// Where a server is.
enum Place {
    Socket(PathBuf),
    Elsewhere,
}

/// Returns where a server is; `None` when nothing says so. `PULSE_SERVER` is read as pulse-client.conf(5) describes it.
fn place(seat: &Seat, sound: Sound) -> Option<Place> {
    let below = |rest| seat.runtime_dir.as_ref().map(|dir| Place::Socket(dir.join(rest)));
    match (sound, &seat.pulse_server) {
        (Sound::PipeWire, _) => below("pipewire-0"),
        (Sound::PulseAudio, None) => below("pulse/native"),
        (Sound::PulseAudio, Some(server)) => {
            let path = server.strip_prefix("unix:").unwrap_or(server);
            let is_path = path.starts_with('/') && !path.contains(' ');
            Some(if is_path { Place::Socket(path.into()) } else { Place::Elsewhere })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    fn seat(pulse_server: Option<&str>) -> Seat {
        let runtime_dir = Some("/run/user/7".into());
        Seat { pulse_server: pulse_server.map(Into::into), runtime_dir, has_display: false }
    }

    #[test]
    fn the_first_that_is_there_is_taken() {
        let only = |there: &'static str| {
            move |socket: &Path| match socket == Path::new(there) {
                true => Ok(()),
                false => Err(ErrorKind::NotFound.into()),
            }
        };
        let all = ["none", "alsa", "pa", "pipewire"];
        let found = |drivers: &[&str], server, there| choose(drivers, &seat(server), only(there));
        assert_eq!(found(&all, None, "/run/user/7/pulse/native").unwrap(), Sound::PulseAudio);
        assert_eq!(found(&all, None, "/run/user/7/pipewire-0").unwrap(), Sound::PipeWire);
        assert_eq!(found(&["pa"], Some("unix:/tmp/p"), "/tmp/p").unwrap(), Sound::PulseAudio);
        assert_eq!(found(&["pa"], Some("tcp:example.org"), "/nothing").unwrap(), Sound::PulseAudio);
        let error = found(&["pa"], None, "/run/user/7/pipewire-0").unwrap_err().to_string();
        assert!(error.contains("`/run/user/7/pulse/native`"), "{error}");
        let error = found(&["none", "alsa", "oss"], None, "/run/user/7/pulse/native").unwrap_err();
        assert!(error.to_string().ends_with("only to: alsa, oss"), "{error}");
        let none = Seat::default();
        assert!(matches!(choose(&["pa"], &none, |_| Ok(())), Err(SoundError::NoServer { .. })));
    }
}
