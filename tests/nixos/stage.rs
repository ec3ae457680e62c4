//! Where the guest's scripts run: a directory with programs that stand in for those of a NixOS, and what was made of them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::nix::{evaluate, path, repository, text};

/// A directory for one test.
pub struct Stage {
    dir: TempDir,
}

impl Stage {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        Self { dir }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Writes a file, with the directories that it lies in.
    pub fn write(&self, below: &str, content: &str) -> PathBuf {
        let file = self.path(below);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, content).unwrap();
        file
    }

    pub fn read(&self, below: &str) -> String {
        let file = self.path(below);
        std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()))
    }

    /// A program that stands in for one of the guest, before all others in the search path.
    pub fn program(&self, name: &str, body: &str) {
        let file = self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{body}\n"));
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A script of the guest, to be given arguments and variables.
    pub fn script(&self, name: &str) -> Command {
        let mut command = Command::new("bash");
        let search = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        // Whatever git the machine has is not to be asked who it belongs to.
        command
            .arg(repository().join("nixos/scripts").join(name))
            .env("PATH", search)
            .env("HOME", self.dir.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("STAGE", self.dir.path());
        command
    }
}

/// Runs a command that has to succeed.
pub fn ok(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// What a command wrote to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What /etc/nixos of a VM begins as, made by the recipe that the modules have for it.
pub struct Template {
    dir: TempDir,
    spec: String,
}

impl Template {
    pub fn of(library: &Path, spec: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Self { dir, spec: spec.to_string() };
        let recipe = evaluate(
            library,
            &format!(
                "let {} recipe = vm.config.system.build.ai-vm-configuration.given;
                 in {{ inherit (recipe) text; data = recipe.data.given.value; lock = recipe.lock.given.value; }}",
                made.binding()
            ),
        )
        .unwrap();
        let inputs = made.dir.path().join("inputs");
        std::fs::create_dir_all(inputs.join("modules")).unwrap();
        std::fs::write(inputs.join("vm.json"), recipe["data"].to_string()).unwrap();
        std::fs::write(inputs.join("flake.lock"), recipe["lock"].to_string()).unwrap();
        let ours = repository().join("nixos");
        for part in ["guest", "guest-flake", "lib", "scripts"] {
            ok(Command::new("cp").arg("-r").arg(ours.join(part)).arg(inputs.join("modules")));
        }
        ok(Command::new("bash")
            .args(["-euc", recipe["text"].as_str().unwrap()])
            .env("out", made.dir())
            .env("parts", ours.join("guest-flake"))
            .env("modules", inputs.join("modules"))
            .env("data", inputs.join("vm.json"))
            .env("lock", inputs.join("flake.lock")));
        made
    }

    /// The directory as it was built.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// Bindings of an expression: `guest`, the harness, and `vm`, this VM as the host builds it.
    pub fn binding(&self) -> String {
        let repository = repository();
        format!(
            "guest = import {guest} {{ inherit lib; }};
             ours = import {ours} {{ inherit (guest) nixpkgs; system = \"x86_64-linux\"; }};
             vm = ours.makeCustomVM (builtins.fromJSON {spec});",
            guest = path(&repository.join("tests/nixos/guest.nix")),
            ours = path(&repository.join("nixos")),
            spec = text(&self.spec),
        )
    }
}
