//! A VM that is being put together in menus.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::cli::commands::spec::SpecArgs;
use crate::cli::context::Context;
use crate::vm::name::VmName;
use crate::vm::share::ShareMode;

/// What a VM without a name of its own is called, as it is without menus.
const NAME: &str = "ai-vm";

/// What has been picked so far.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Its name, which no VM has.
    pub name: VmName,
    /// What was picked that is not the default.
    pub spec: SpecArgs,
    /// Its shares, each as it was agreed to. [`Wish::shared`] puts them into the above.
    pub shares: Vec<Picked>,
}

/// A folder that was picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// Where it really is.
    pub path: PathBuf,
    /// What the VM may do with it.
    pub mode: ShareMode,
    /// Whether somebody insisted on it.
    pub insisted: bool,
}

/// How a VM is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In the background, with a shell in it here.
    Shell,
    /// As long as its console is shown here.
    Here,
    /// In the background.
    Background,
}

impl Wish {
    /// Begins with the defaults, and a name that is free.
    pub fn new(ctx: &Context) -> Self {
        Self { name: free_name(ctx), spec: SpecArgs::default(), shares: Vec::new() }
    }

    /// Changes the shares.
    pub fn shared(&mut self, change: impl FnOnce(&mut Vec<Picked>)) {
        change(&mut self.shares);
        let of = |mode| {
            let of_mode = self.shares.iter().filter(move |picked| picked.mode == mode);
            of_mode.map(|picked| picked.path.clone()).collect()
        };
        let (rw, ro) = (of(ShareMode::Rw), of(ShareMode::Ro));
        let spec = &mut self.spec.shares;
        (spec.share_rw, spec.share_ro) = (rw, ro);
        spec.i_know = self.shares.iter().any(|picked| picked.insisted);
    }

    /// Returns what would be typed behind `ai-vm`.
    pub fn words(&self, way: Way) -> Vec<OsString> {
        let name = self.name.as_str();
        let (begin, end): (&[&str], &[&str]) = match way {
            Way::Shell => (&["up", name], &["--shell"]),
            Way::Background => (&["up", name], &[]),
            // The name is always there: without anything these menus are meant.
            Way::Here => (&["--name", name], &[]),
        };
        let plain = |words: &[&str]| words.iter().map(Into::into).collect::<Vec<OsString>>();
        [plain(begin), self.spec.words(), plain(end)].concat()
    }
}

/// Returns a name that no VM has.
fn free_name(ctx: &Context) -> VmName {
    let mut number = 1;
    loop {
        let name = if number == 1 { NAME.to_owned() } else { format!("{NAME}-{number}") };
        match name.parse::<VmName>() {
            Ok(name) if ctx.registry().entry(name.clone()).is_none() => return name,
            // There are more numbers than VMs.
            _ => number += 1,
        }
    }
}
