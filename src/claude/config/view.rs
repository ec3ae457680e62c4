//! What of this machine's configuration a guest is to have: files as they are, or made of them.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::claude::config::error::ConfigError;
use crate::claude::settings::{self, Asked, Places};
use crate::host::files;
use crate::transfer::entry::{DIR_MODE, FILE_MODE, Time};
use crate::transfer::name::Name;
use crate::transfer::walk::mtime;
use crate::vm::share_policy::SECRETS;

/// What people write for Claude Code. One with a dot is a file.
const AUTHORED: [&str; 9] = [
    "CLAUDE.md",
    "agents",
    "commands",
    "keybindings.json",
    "output-styles",
    "rules",
    "skills",
    "themes",
    "workflows",
];

/// The settings, which are filtered.
const SETTINGS: &str = "settings.json";

/// What has been said and done here.
const HISTORY: [&str; 2] = ["history.jsonl", "projects"];

/// The most of a file that is read to be changed, in bytes.
const MAX_MADE: u64 = 4 << 20;

/// Why a file is not sent that is called like one with keys or logins.
const SECRET: &str = "its name is that of a secret";

/// Where what dotfile managers link to may lie besides the home: what is there is readable for everybody.
const STORE: &str = "/nix/store";

/// What is wanted besides what always travels.
#[derive(Clone, Debug, Default)]
pub struct What {
    /// Prompts and transcripts.
    pub history: bool,
    /// Plugins, with the marketplaces that they are from.
    pub plugins: bool,
    /// Of the settings.
    pub asked: Asked,
}

impl What {
    /// Returns the names at the top that are looked at.
    pub fn tops(&self) -> Vec<&'static str> {
        let mut tops = AUTHORED.to_vec();
        tops.push(SETTINGS);
        tops.extend(self.asked.hooks.then_some("hooks"));
        tops.extend(self.plugins.then_some("plugins"));
        tops.extend(HISTORY.into_iter().filter(|_| self.history));
        tops
    }
}

/// What a guest's file is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Dir,
    /// A file here, without links on the way to it.
    File(PathBuf),
    /// These bytes.
    Made(Vec<u8>),
}

/// A file as a guest is to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub content: Content,
    /// Its size in bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
    /// When it was changed last.
    pub mtime: Time,
    /// What tells it from what it was before; the beginning of a SHA-256, in hexadecimal.
    pub print: String,
}

/// What a guest is to have.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The files by their names below `~/.claude` there.
    pub items: BTreeMap<Name, Item>,
    /// What is not sent, and why; in words.
    pub left_out: Vec<String>,
    /// The names at the top that were looked at.
    pub tops: Vec<&'static str>,
}

/// Where configuration is.
#[derive(Clone, Debug)]
pub struct Source {
    dir: PathBuf,
    /// The same without links, if it is there.
    real: Option<PathBuf>,
    home: PathBuf,
}

impl Source {
    /// Looks where it is. `.claude` in the home may be a link within the home; another directory was named on purpose.
    pub fn new(dir: Option<&Path>, home: Option<&Path>) -> Result<Self, ConfigError> {
        let dir = dir.ok_or(ConfigError::NoHome)?.to_owned();
        let is_named = home.is_none_or(|home| home.join(".claude") != dir);
        let home = home.map(|home| home.canonicalize().unwrap_or_else(|_| home.to_owned()));
        let home = home.unwrap_or_else(|| dir.clone());
        let real = dir.canonicalize().ok();
        match &real {
            Some(real) if !is_named && !real.starts_with(&home) && !real.starts_with(STORE) => {
                Err(ConfigError::Elsewhere { path: dir, real: real.clone() })
            }
            _ => Ok(Self { dir, real, home }),
        }
    }

    /// Tells whether there is any.
    pub const fn is_there(&self) -> bool {
        self.real.is_some()
    }

    /// Looks at everything. `guest` is the home directory in the guest.
    pub fn view(&self, what: &What, guest: &str) -> View {
        let mut view = View { tops: what.tops(), ..View::default() };
        let Some(real) = &self.real else { return view };
        let look = Look { source: self, real, what, guest };
        for top in what.tops() {
            if let (Ok(name), Ok(_)) = (Name::parse(top.as_bytes()), self.dir.join(top).symlink_metadata()) {
                look.add(&real.join(top), name, &mut Vec::new(), &mut view);
            }
        }
        view
    }
}

impl View {
    /// Returns what tells it from every other, in hexadecimal.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, item) in &self.items {
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(&item.print);
        }
        hex(&hash.finalize())
    }
}

/// A look at a source.
struct Look<'a> {
    source: &'a Source,
    real: &'a Path,
    what: &'a What,
    guest: &'a str,
}

impl Look<'_> {
    /// Adds what is at a path, links resolved, with all below it. `above` are the directories that it is in.
    fn add(&self, path: &Path, name: Name, above: &mut Vec<PathBuf>, view: &mut View) {
        let last = path.file_name().unwrap_or_default().as_bytes();
        // What git keeps is not configuration, and its own configuration can hold logins.
        if last == b".git" {
            return;
        }
        let resolved = self.resolve(path);
        let (real, found) = match resolved {
            Ok(found) => found,
            Err(why) => return view.left_out.push(format!("{name}: {why}")),
        };
        if found.is_dir() {
            if above.contains(&real) {
                return view.left_out.push(format!("{name}: it leads to a directory that it is in"));
            }
            let inside =
                std::fs::read_dir(&real).and_then(|all| all.map(|one| Ok(one?.file_name())).collect());
            let mut inside: Vec<std::ffi::OsString> = match inside {
                Ok(inside) => inside,
                Err(error) => return view.left_out.push(format!("{name}: {error}")),
            };
            inside.sort();
            self.put(view, name.clone(), Content::Dir, &real, &found);
            above.push(real.clone());
            for last in inside {
                match name.join(last.as_bytes()) {
                    Ok(below) => self.add(&real.join(&last), below, above, view),
                    Err(reason) => view.left_out.push(format!("{name}: {reason}")),
                }
            }
            above.pop();
        } else if found.is_file() {
            match self.content(&real, &name, view) {
                Ok(content) => self.put(view, name, content, &real, &found),
                Err(why) => view.left_out.push(format!("{name}: {why}")),
            }
        } else {
            view.left_out.push(format!("{name}: it is no file"));
        }
    }

    /// Returns where a path leads, if that may be sent, and what is there. The directory that it is in has no links on the
    /// way to it, and may be sent.
    fn resolve(&self, path: &Path) -> Result<(PathBuf, Metadata), String> {
        let is_secret = |path: &Path| path.file_name().is_some_and(|last| is_secret(&last.to_string_lossy()));
        let found = path.symlink_metadata().map_err(|error| error.to_string())?;
        if is_secret(path) {
            return Err(SECRET.to_owned());
        }
        if !found.is_symlink() {
            return Ok((path.to_owned(), found));
        }
        let real = path.canonicalize().map_err(|error| error.to_string())?;
        if is_secret(&real) {
            return Err(SECRET.to_owned());
        }
        let allowed = if let Ok(below) = real.strip_prefix(self.real) {
            let top = below.components().next().map(|top| top.as_os_str().to_string_lossy());
            top.is_some_and(|top| self.what.tops().contains(&&*top))
        } else if self.real.starts_with(&real) {
            // A whole home, or what else it lies in.
            false
        } else if real.starts_with(&self.source.home) {
            let secret =
                |above: &Path| SECRETS.iter().any(|secret| *secret != ".claude" && above.ends_with(secret));
            !real.ancestors().any(secret)
        } else {
            real.starts_with(STORE)
        };
        if !allowed {
            return Err(format!("it leads to `{}`, which is not sent", real.display()));
        }
        let found = real.metadata().map_err(|error| error.to_string())?;
        Ok((real, found))
    }

    /// Returns what a file becomes in a guest.
    fn content(&self, real: &Path, name: &Name, view: &mut View) -> Result<Content, String> {
        let (here, guest) = (self.source.dir.to_string_lossy(), format!("{}/.claude", self.guest));
        if name.as_bytes() == SETTINGS.as_bytes() {
            let text = files::read_bounded(real, MAX_MADE).map_err(|error| error.source.to_string())?;
            let home = self.source.home.to_string_lossy();
            let places = Places { config: &here, home: &home };
            let filtered =
                settings::filter(&text, &self.what.asked, places).map_err(|error| error.to_string())?;
            view.left_out.extend(filtered.left_out.into_iter().map(|key| format!("{SETTINGS}: {key}")));
            return Ok(Content::Made(filtered.text.into_bytes()));
        }
        // Which plugins there are is written down with the paths of this machine.
        let is_book = name.first() == b"plugins" && name.components().count() == 2;
        if is_book && name.as_bytes().ends_with(b".json") {
            let text = files::read_bounded(real, MAX_MADE).map_err(|error| error.source.to_string())?;
            let text = String::from_utf8(text).map_err(|error| error.to_string())?;
            return Ok(Content::Made(text.replace(&*here, &guest).into_bytes()));
        }
        Ok(Content::File(real.to_owned()))
    }

    fn put(&self, view: &mut View, name: Name, content: Content, real: &Path, found: &Metadata) {
        // What its owner may not change here, as in the Nix store, is the guest's own.
        let (mask, least) = if content == Content::Dir { (DIR_MODE, 0o700) } else { (FILE_MODE, 0o600) };
        let size = match &content {
            Content::Dir => 0,
            Content::File(_) => found.len(),
            Content::Made(bytes) => bytes.len() as u64,
        };
        let mut item = Item {
            size,
            mode: found.mode() & mask | least,
            mtime: mtime(found),
            content,
            print: String::new(),
        };
        let mut hash = Sha256::new();
        match &item.content {
            Content::Dir => hash.update(b"dir"),
            Content::Made(bytes) => hash.update(bytes),
            Content::File(_) => {
                hash.update(format!("{} {} {:o}", item.size, item.mtime.text(), item.mode));
                // Times say nothing there, paths do.
                if real.starts_with(STORE) {
                    hash.update(real.as_os_str().as_bytes());
                }
            }
        }
        item.print = hex(hash.finalize().get(..8).unwrap_or_default());
        view.items.insert(name, item);
    }
}

impl Content {
    /// Opens a file here, which has to be one still.
    pub fn open(path: &Path) -> io::Result<std::fs::File> {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::NOFOLLOW;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file any more")) }
    }
}

/// Tells whether files of this name hold keys or logins by custom.
fn is_secret(name: &str) -> bool {
    let lower = name.to_lowercase();
    let example = [".example", ".sample", ".template"].iter().any(|end| lower.ends_with(end));
    let exact = [
        ".env",
        ".npmrc",
        ".netrc",
        ".pypirc",
        ".git-credentials",
        ".credentials.json",
        "credentials.json",
        ".claude.json",
        "id_rsa",
        "id_ed25519",
        "id_ecdsa",
        "id_dsa",
    ];
    exact.contains(&lower.as_str())
        || (lower.starts_with(".env.") && !example)
        || [".pem", ".key", ".p12", ".pfx"].iter().any(|end| lower.ends_with(end))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
