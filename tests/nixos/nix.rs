//! Evaluates Nix expressions, without a store, a daemon or a network.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Says what a test could not look at, to those who ask to see (`--nocapture`).
#[expect(clippy::print_stderr, reason = "there is nobody else to tell")]
pub fn note(text: &str) {
    eprintln!("note: {text}");
}

/// The libraries to evaluate with: the stand-in, and the real one where it is given.
pub fn libraries() -> Vec<PathBuf> {
    let stand_in = repository().join("tests/nixos/lib");
    let real = std::env::var_os("NIXPKGS_LIB").filter(|path| !path.is_empty()).map(PathBuf::from);
    if real.is_none() {
        note("NIXPKGS_LIB is not set, so nixpkgs' own lib is not tried");
    }
    [Some(stand_in), real].into_iter().flatten().collect()
}

fn command(state: &Path) -> Command {
    let mut command = Command::new("nix-instantiate");
    // Nothing of the machine's own Nix is asked or changed, and nobody has to be able to write to a store.
    command.args(["--store", "dummy://"]);
    // A quarter of the time of the long evaluations is collecting garbage in a heap that begins small.
    command.env("GC_INITIAL_HEAP_SIZE", "512M");
    command.env("NIX_STATE_DIR", state).env("NIX_CONF_DIR", state).env("HOME", state).env_remove("NIX_PATH");
    command
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap_or_else(|why| {
        panic!("nix-instantiate does not run ({why}); it comes with Nix, or on Debian: apt install nix-bin")
    });
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap()) } else { Err(stderr) }
}

/// Evaluates an expression in which `lib` is a library; all of its value is forced.
pub fn evaluate(library: &Path, expression: &str) -> Result<Value, String> {
    let state = tempfile::tempdir().unwrap();
    let whole = format!("let lib = import {}; in {expression}", path(library));
    let output = run(command(state.path())
        .args(["--eval", "--strict", "--json", "--readonly-mode", "--expr"])
        .arg(whole))?;
    Ok(serde_json::from_str(&output).unwrap())
}

/// Tells why a file is not Nix.
pub fn parse(file: &Path) -> Result<(), String> {
    let state = tempfile::tempdir().unwrap();
    run(command(state.path()).arg("--parse").arg(file)).map(|_| ())
}

/// A path as it is written in an expression, whatever it holds.
pub fn path(path: &Path) -> String {
    format!("(/. + {})", text(path.to_str().unwrap()))
}

/// A text as it is written in an expression, whatever it holds.
pub fn text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${"))
}

/// Evaluates a file of this directory that takes a library.
pub fn evaluate_file(library: &Path, name: &str) -> Value {
    let file = path(&repository().join("tests/nixos").join(name));
    evaluate(library, &format!("import {file} {{ inherit lib; }}"))
        .unwrap_or_else(|why| panic!("{name} with {}: {why}", library.display()))
}
