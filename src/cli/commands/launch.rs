//! `ai-vm` without a verb: makes a VM, writes the script that starts it again, and runs it here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::cli::commands::create::{describe, register};
use crate::cli::commands::foreground;
use crate::cli::commands::spec::SpecArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::project::working_directory;
use crate::cli::values::value;
use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::failed;
use crate::host::layout::{Identity, Layout};
use crate::host::program;
use crate::lifecycle::folder;
use crate::lifecycle::start::How;
use crate::registry::openssh;
use crate::registry::record::Record;
use crate::ssh::command::quoted;
use crate::ui::filter;
use crate::vm::name::VmName;
use crate::vm::share::Share;

/// Arguments of a launch without a verb.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name
    #[arg(short, long, value_name = "NAME", default_value = "ai-vm", help_heading = "Run a VM here", value_parser = value::<VmName>)]
    name: VmName,
    /// Keep its disk, and the script start-NAME.sh, in this folder [default without a value: the one you are in]
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = ".", help_heading = "Run a VM here")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    spec: SpecArgs,
}

/// A VM of this name is there and is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` exists already, with another {}", differences.join(", "))]
struct Differs {
    name: VmName,
    differences: Vec<&'static str>,
}

impl Diagnostic for Differs {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }

    fn hints(&self) -> Vec<String> {
        let name = &self.name;
        vec![
            format!("start it as it is: `ai-vm start --console {name}`"),
            "make another one: add `--name OTHER`".to_owned(),
            format!("or remove it, with all that is in it: `ai-vm rm {name}`"),
        ]
    }
}

/// Makes the VM if there is none of its name, and runs it.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    let name = args.name;
    let here = working_directory()?;
    let mut spec = args.spec;
    spec.dir = args.dir.map(|dir| here.join(dir));
    let record = match ctx.registry().entry(name.clone()) {
        None => {
            let record = register(ctx, name.clone(), &spec)?;
            ctx.terminal.news(&describe(&record));
            record
        }
        Some(_) => {
            let record = ctx.registry().get(&name)?;
            let differences = spec.differences(ctx, &record);
            if !differences.is_empty() {
                return Err(Differs { name, differences }.into());
            }
            record
        }
    };
    // Without it the VM runs all the same.
    match folder::write_script(record.dir.as_deref().unwrap_or(&here), &record, &script(ctx, &record)?) {
        Ok(path) => ctx.terminal.status(&format!("{name}: `{}` starts it again", path.display())),
        Err(error) => {
            ctx.terminal.warn(&format!("{name}: the script that starts it again was not written: {error}"));
        }
    }
    foreground::run(ctx, &name, How::default())
}

/// Returns the script that starts a VM, from its third line on: comments for people, of which none can become a command,
/// and a command in which every path is quoted.
fn script(ctx: &Context, record: &Record) -> Result<Vec<u8>, Failure> {
    let program = program::ourselves().map_err(failed("find", "ai-vm".as_ref()))?;
    let layout = ctx.registry().layout();
    let Record { name, user, .. } = record;
    let described = describe(record);
    let what = described.split_once("created, ").map_or("", |(_, what)| what);
    let extras = [
        record.overlay.then(|| "overlay: every start begins with a clean disk".to_owned()),
        record.audio.then(|| "audio".to_owned()),
        record.desktop.map(|desktop| format!("desktop {}", desktop.resolution)),
        record.dir.as_ref().map(|dir| format!("its disk is in {}", dir.display())),
    ];
    let share =
        |share: &Share| format!("shares {} -> {} ({})", share.path.display(), share.guest_path(), share.mode);
    let comments = [format!("{} guest, user {user}, {what}", record.guest.family())]
        .into_iter()
        .chain(extras.into_iter().flatten())
        .chain(record.shares.iter().map(share))
        .chain(ssh(layout, record))
        .chain([format!("ai-vm shell {name}, ai-vm info {name}, ai-vm stop {name}")]);
    let mut text = b"#\n# Starts it from any directory, and builds nothing anew. Its console is shown here; Ctrl-C stops it.\n#\n".to_vec();
    for comment in comments {
        text.extend_from_slice(format!("# {}\n", filter::one_line(&comment)).as_bytes());
    }
    let word = |word: &OsStr| quoted(word);
    for (before, value, after) in [
        (
            "\n# shellcheck disable=SC1003,SC2016 # Paths are meant as they are.\nset -eu\nexport AI_VM_HOME=",
            layout.root().as_os_str(),
            "\n",
        ),
        // What was moved, or collected by Nix, is looked for as any program.
        ("ai_vm=", program.as_os_str(), "\n[ -x \"$ai_vm\" ] || ai_vm=ai-vm\n"),
        ("exec \"$ai_vm\" start --console ", OsStr::from_bytes(name.as_str().as_bytes()), " \"$@\"\n"),
    ] {
        text.extend_from_slice(before.as_bytes());
        text.extend_from_slice(&word(value));
        text.extend_from_slice(after.as_bytes());
    }
    Ok(text)
}

/// Returns the command by which OpenSSH reaches a VM while it runs, with the pinned key and nothing of the user's own settings.
fn ssh(layout: &Layout, record: &Record) -> Option<String> {
    let vm = layout.vm(&record.name);
    let forward = record.ssh()?;
    let path = |file| vm.file(file);
    let quote = |text: &str| String::from_utf8_lossy(&quoted(OsStr::new(text))).into_owned();
    let known = quote(&format!("UserKnownHostsFile=\"{}\"", path(Identity::KNOWN_HOSTS).display()));
    let key = quote(&path(Identity::LOGIN_KEY).to_string_lossy());
    let alias = openssh::host(&record.name).to_ascii_lowercase();
    Some(format!(
        "ssh -p {} -i {key} -o IdentitiesOnly=yes -o {known} -o HostKeyAlias={alias} -o StrictHostKeyChecking=yes {}@127.0.0.1",
        forward.host, record.user
    ))
}
