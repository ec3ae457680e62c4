//! The facts of one launch, kept beside the VM: which boot it is, how and when it was started.

use std::io;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::host::files::{self, FileError, failed};
use crate::host::layout::VmDir;
use crate::vm::share::Share;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// What is known about the present or last launch. Whether it still runs is told by the run lock alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// A random text that the guest of this boot knows.
    pub boot: String,
    /// When QEMU was launched, RFC 3339 in UTC.
    pub started: String,
    /// The accelerator, `kvm` or `tcg`.
    pub accel: String,
    /// The identifier of the recorded system that was booted; none for the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
    /// Where a viewer finds its screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<String>,
    /// The folders of this machine that its guest sees.
    #[serde(default, rename = "share")]
    pub shares: Vec<Share>,
}

impl Run {
    /// Describes a launch that happens now.
    pub fn now(boot: String, accel: String, recorded: Option<String>) -> Self {
        let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Self { boot, started, accel, recorded, screen: None, shares: Vec::new() }
    }

    /// Reads the facts; `None` when there are none, or none that can be understood.
    pub fn read(dir: &VmDir) -> Option<Self> {
        let content = files::read_bounded(&dir.file(VmDir::RUN), MAX_BYTES).ok()?;
        toml::from_str(std::str::from_utf8(&content).ok()?).ok()
    }

    /// Writes the facts down and forgets that an earlier boot was ready. The caller holds the run lock.
    pub fn write(&self, dir: &VmDir) -> Result<(), FileError> {
        files::remove_if_there(&dir.file(VmDir::READY))?;
        let path = dir.file(VmDir::RUN);
        let text = toml::to_string(self).map_err(|error| failed("write", &path)(io::Error::other(error)))?;
        files::replace(&path, text.as_bytes())
    }

    /// Tells whether the guest of this boot has been reached.
    pub fn is_ready(&self, dir: &VmDir) -> bool {
        files::read_bounded(&dir.file(VmDir::READY), MAX_BYTES).is_ok_and(|seen| seen == self.boot.as_bytes())
    }

    /// Notes that the guest of this boot has been reached, and with which recorded system.
    pub fn set_ready(&self, dir: &VmDir) -> Result<(), FileError> {
        if let Some(recorded) = &self.recorded {
            files::replace(&dir.file(VmDir::RECORDED_READY), recorded.as_bytes())?;
        }
        files::replace(&dir.file(VmDir::READY), self.boot.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::share::ShareMode;

    #[test]
    fn readiness_belongs_to_one_boot() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = VmDir::at(tmp.path());
        assert_eq!(Run::read(&dir), None);
        let share = Share::new("/a \"b\"\n".into(), ShareMode::Ro, false, &[]);
        let first = Run { shares: vec![share], ..Run::now("a1".into(), "tcg".into(), None) };
        first.write(&dir).unwrap();
        assert_eq!(Run::read(&dir), Some(first.clone()));
        first.set_ready(&dir).unwrap();
        assert!(first.is_ready(&dir));
        let second = Run::now("b2".into(), "tcg".into(), Some("r".into()));
        assert!(!second.is_ready(&dir));
        second.write(&dir).unwrap();
        assert!(!first.is_ready(&dir));
    }
}
