//! What OpenSSH is told about a VM: an entry of ssh_config(5) and a line of known_hosts, which lie beside the record and
//! come and go with it.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::{self, FileError};
use crate::host::layout::{Identity, Layout, VmDir};
use crate::registry::record::Record;
use crate::vm::guest::Guest;
use crate::vm::name::VmName;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// A path that the syntax of ssh_config(5) has no way to write.
#[derive(Debug, thiserror::Error)]
#[error(
    "OpenSSH cannot be told of the path `{path}`: it holds a line break, `${{`, or bytes that are no text"
)]
pub struct Unwritable {
    path: String,
}

impl Diagnostic for Unwritable {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec!["use a data directory with a plainer name: `export AI_VM_HOME=DIR`".to_owned()]
    }
}

/// Writes into `place`, which is or will be the VM's directory, what OpenSSH is told about it. What is there already
/// stays untouched, and what OpenSSH cannot be told is left away.
pub fn keep(layout: &Layout, record: &Record, place: &VmDir) -> Result<(), FileError> {
    let key = match record.guest.is_adopted() {
        true => Identity::ADOPTED_HOST_KEY,
        false => Identity::HOST_PUBLIC_KEY,
    };
    // A VM without a key is refused by OpenSSH, as it should be.
    let key = files::read_bounded(&place.file(key), MAX_BYTES).unwrap_or_default();
    let known_host = known_host(&record.name, &String::from_utf8_lossy(&key));
    let entry = proxy_by_script(&layout.ssh_proxy(), &record.name)
        .and_then(|proxy| entry(record, &layout.vm(&record.name), &proxy));
    for (file, content) in [(Identity::KNOWN_HOSTS, known_host), (VmDir::SSH_CONFIG, entry.ok())] {
        let (file, Some(content)) = (place.file(file), content) else { continue };
        if files::read_bounded(&file, MAX_BYTES).is_ok_and(|found| found == content.as_bytes()) {
            continue;
        }
        files::replace(&file, content.as_bytes())?;
    }
    Ok(())
}

/// Returns the name by which OpenSSH knows a VM.
pub fn host(name: &VmName) -> String {
    format!("{name}.ai-vm")
}

/// Returns the entry of one VM whose directory is, or will be, `dir`. `proxy` is the command that connects to one of
/// ai-vm's own, which can have another port tomorrow, as [`proxy_command`] returns it.
pub fn entry(record: &Record, dir: &VmDir, proxy: &str) -> Result<String, Unwritable> {
    let mut lines = Vec::new();
    let mut identity = Some(dir.file(Identity::LOGIN_KEY));
    let mut proxy_command = proxy;
    match &record.guest {
        Guest::Adopted(adopted) => {
            let endpoint = adopted.endpoint();
            lines.extend([format!("HostName {}", endpoint.host.as_str()), format!("Port {}", endpoint.port)]);
            identity = adopted.identity.clone();
            proxy_command = "none";
        }
        Guest::Debian | Guest::Image { .. } | Guest::Nixos(_) => {
            lines.push("HostName 127.0.0.1".to_owned());
            lines.extend(record.ssh().map(|forward| format!("Port {}", forward.host)));
            // What the user grants to every host is not for a guest that may do what it likes.
            lines.extend(["ForwardAgent no", "ForwardX11 no"].map(str::to_owned));
        }
    }
    let alias = alias(&record.name);
    lines.extend([
        format!("User {}", record.user),
        format!("HostKeyAlias {alias}"),
        format!("UserKnownHostsFile {}", argument(&dir.file(Identity::KNOWN_HOSTS))?),
        "GlobalKnownHostsFile /dev/null".to_owned(),
        "StrictHostKeyChecking yes".to_owned(),
        "VerifyHostKeyDNS no".to_owned(),
        "UpdateHostKeys no".to_owned(),
        "PreferredAuthentications publickey".to_owned(),
    ]);
    if let Some(identity) = identity {
        lines.push(format!("IdentityFile {}", argument(&identity)?));
        lines.push("IdentitiesOnly yes".to_owned());
    }
    lines.push(format!("ProxyCommand {proxy_command}"));
    let host = host(&record.name);
    // OpenSSH looks names up as they are typed and in lower case, by its version.
    let hosts = if host == alias { host } else { format!("{host} {alias}") };
    Ok(format!("Host {hosts}\n    {}\n", lines.join("\n    ")))
}

/// Returns the line of known_hosts for a public key as OpenSSH writes it; `None` when that is none.
pub fn known_host(name: &VmName, public_key: &str) -> Option<String> {
    let mut words = public_key.split_whitespace();
    let (algorithm, key) = (words.next()?, words.next()?);
    Some(format!("{} {algorithm} {key}\n", alias(name)))
}

/// The name of the pinned key. OpenSSH compares it in lower case.
fn alias(name: &VmName) -> String {
    host(name).to_ascii_lowercase()
}

/// Returns the command that connects to a VM for whoever reads the file that [`Registry`] keeps: a script, so that one
/// place says where ai-vm is and what it is to do.
///
/// [`Registry`]: crate::registry::store::Registry
pub fn proxy_by_script(script: &Path, name: &VmName) -> Result<String, Unwritable> {
    Ok(format!("/bin/sh {} {name}", percent_escaped(&shell_word(script)?)))
}

/// Returns the command that connects to a VM, whatever the environment says about the data directory.
pub fn proxy_command(program: &Path, data: &Path, start: bool, name: &VmName) -> Result<String, Unwritable> {
    let (program, data) = (shell_word(program)?, shell_word(data)?);
    let start = if start { " --start" } else { "" };
    Ok(format!("env AI_VM_HOME={} {} proxy{start} {name}", percent_escaped(&data), percent_escaped(&program)))
}

/// Returns the script of [`proxy_by_script`].
pub fn script(program: &Path, data: &Path, start: bool) -> Result<String, Unwritable> {
    let start = if start { " --start" } else { "" };
    Ok(format!(
        "#!/bin/sh\n# Written by `ai-vm ssh-config --install`: how OpenSSH connects to a VM.\n\
         AI_VM_HOME={} exec {} proxy{start} \"$1\"\n",
        shell_word(data)?,
        shell_word(program)?,
    ))
}

/// Returns the line that makes OpenSSH read the entries of all VMs.
///
/// Versions of OpenSSH differ in what they make of `%` and `$` here, but all of them take wildcards: one stands for every
/// character that means anything.
pub fn include(vms: &Path) -> Result<String, Unwritable> {
    let plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "/._-+,:=@~ ".contains(c);
    let dir: String = text(vms)?.chars().map(|c| if plain(c) { c } else { '?' }).collect();
    Ok(format!("Include \"{dir}/*/{}\"", VmDir::SSH_CONFIG))
}

/// Quotes a path as an argument in which OpenSSH expands `%` and `${}`.
fn argument(path: &Path) -> Result<String, Unwritable> {
    let text = text(path)?;
    if text.contains("${") {
        return Err(unwritable(path));
    }
    Ok(format!("\"{}\"", percent_escaped(text).replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Quotes a path for any shell, and so that OpenSSH, which takes a command apart only to look for its end, agrees.
fn shell_word(path: &Path) -> Result<String, Unwritable> {
    let quoted = |c: char| if "'\\".contains(c) { format!("'\\{c}'") } else { c.to_string() };
    Ok(format!("'{}'", text(path)?.chars().map(quoted).collect::<String>()))
}

fn percent_escaped(text: &str) -> String {
    text.replace('%', "%%")
}

fn text(path: &Path) -> Result<&str, Unwritable> {
    path.to_str().filter(|text| !text.contains(['\n', '\r'])).ok_or_else(|| unwritable(path))
}

fn unwritable(path: &Path) -> Unwritable {
    Unwritable { path: path.display().to_string().escape_debug().to_string() }
}

#[cfg(test)]
#[path = "openssh_tests.rs"]
mod tests;
