//! The flakes by the real command line of Nix, over a nixpkgs that stands in: what ai-vm runs to build a VM, and what
//! nixos-rebuild asks for in the guest. Everything up to the build.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::nix::{libraries, repository};
use crate::stage::{Template, ok, stderr};

/// A store, a copy of ai-vm as a flake, and the nixpkgs that stands in.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        for copy in ["ai-vm", "nixpkgs/ai-vm"] {
            let copy = place.path(copy);
            std::fs::create_dir_all(copy.join("tests")).unwrap();
            for part in ["flake.nix", "flake.lock", "nixos", "tests/nixos"] {
                ok(Command::new("cp").arg("-r").arg(repository().join(part)).arg(copy.join(part)));
            }
        }
        std::fs::copy(repository().join("tests/nixos/nixpkgs/flake.nix"), place.path("nixpkgs/flake.nix"))
            .unwrap();
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn reference(&self, below: &str) -> String {
        format!("path:{}", self.path(below).display())
    }

    /// Runs `nix` as ai-vm does, without network.
    fn nix(&self, arguments: &[&str], inputs: &[(&str, &str)]) -> Result<Output, String> {
        let mut command = Command::new("nix");
        command
            .args(["--extra-experimental-features", "nix-command flakes", "--option", "substituters", ""])
            .args(["--option", "flake-registry", ""])
            .args(arguments)
            .arg("--store")
            .arg(self.path("store"))
            .arg("--no-write-lock-file")
            .env("HOME", self.dir.path())
            .env("NIX_CONF_DIR", self.dir.path());
        for (input, copy) in inputs {
            command.arg("--override-input").arg(input).arg(self.reference(copy));
        }
        let output = command
            .output()
            .unwrap_or_else(|why| panic!("nix does not run ({why}); on Debian: apt install nix-bin"));
        if output.status.success() { Ok(output) } else { Err(stderr(&output)) }
    }

    /// Evaluates what a flake has at a place, as `apply` has it.
    fn applied(&self, installable: &str, apply: &str, inputs: &[(&str, &str)]) -> Value {
        let output = self.nix(&["eval", "--json", installable, "--apply", apply], inputs);
        let output = output.unwrap_or_else(|why| panic!("{installable}: {why}"));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn value(&self, installable: &str, inputs: &[(&str, &str)]) -> Value {
        self.applied(installable, "value: value", inputs)
    }

    /// What would be built, without building it.
    fn plan(&self, installable: &str, inputs: &[(&str, &str)]) -> Result<String, String> {
        self.nix(&["build", "--dry-run", installable], inputs).map(|output| stderr(&output))
    }
}

const VM: [(&str, &str); 2] = [("ai-vm", "ai-vm"), ("ai-vm/nixpkgs", "nixpkgs")];
const OURS: [(&str, &str); 1] = [("nixpkgs", "nixpkgs")];

fn write_vm(place: &Place, data: &Value) {
    let vm: &Path = &place.path("vm");
    std::fs::create_dir_all(vm).unwrap();
    std::fs::copy(repository().join("nixos/vm-flake/flake.nix"), vm.join("flake.nix")).unwrap();
    std::fs::write(vm.join("vm.json"), data.to_string()).unwrap();
}

#[test]
fn a_vm_is_built_as_ai_vm_does_it() {
    let place = Place::new();
    write_vm(&place, &json!({ "schema": 1, "name": "web", "overlay": true }));
    let planned = place.plan(&place.reference("vm"), &VM).unwrap();
    assert!(planned.contains("-ai-vm-web.drv") && planned.contains("-manifest.json.drv"), "{planned}");
    let manifest =
        format!("{}#packages.x86_64-linux.default.given.manifest.given.value", place.reference("vm"));
    assert_eq!(place.value(&manifest, &VM)["features"]["overlay"], true);

    // What the guest gets of ai-vm: what it is made of, and nothing else.
    let modules = format!(
        "{}#packages.x86_64-linux.default.config.system.build.ai-vm-configuration.given.modules",
        place.reference("vm")
    );
    let modules = place.value(&modules, &VM);
    let stored = place.path("store").join(modules.as_str().unwrap().trim_start_matches('/'));
    let mut parts: Vec<_> = std::fs::read_dir(&stored)
        .unwrap()
        .map(|part| part.unwrap().file_name().into_string().unwrap())
        .collect();
    parts.sort();
    assert_eq!(parts, ["guest", "guest-flake", "lib", "scripts"], "{}", stored.display());
    assert!(stored.join("scripts/rebuild.sh").exists());

    write_vm(&place, &json!({ "schema": 1, "name": "${builtins.abort \"evaluated\"}" }));
    let why = place.plan(&place.reference("vm"), &VM).unwrap_err();
    assert!(why.contains("is not a name for a VM") && !why.contains("aborted"), "{why}");
}

#[test]
fn the_flake_has_what_it_should() {
    let place = Place::new();
    let at = |output: &str| format!("{}#{output}", place.reference("ai-vm"));
    let has = |output: &str| place.applied(&at(output), "builtins.attrNames", &OURS);
    assert_eq!(has("packages.x86_64-linux"), json!(["ai-vm", "ai-vm-unwrapped", "default", "vm"]));
    assert_eq!(has("apps.x86_64-linux"), json!(["ai-vm", "default"]));
    assert_eq!(has("lib.x86_64-linux"), json!(["makeCustomVM", "parseSize"]));
    assert_eq!(has("nixosModules"), json!(["default"]));
    assert_eq!(has("overlays"), json!(["default"]));
    assert_eq!(has("devShells.x86_64-linux"), json!(["default"]));
    let checks = [
        "format",
        "integration-test",
        "nested-vm-test",
        "nixos-rebuild-test",
        "package",
        "start-script-test",
        "unit-test",
    ];
    assert_eq!(has("checks.x86_64-linux"), json!(checks));

    let value = |output: &str| place.value(&at(output), &OURS);
    assert_eq!(value("packages.x86_64-linux.vm.given.meta.mainProgram"), "run-vm-vm");
    let size = |option: &str| value(&format!("packages.x86_64-linux.vm.config.virtualisation.{option}"));
    assert_eq!((size("memorySize"), size("cores"), size("diskSize")), (json!(8192), json!(2), json!(51200)));
    // It evaluates the unit tests.
    assert_eq!(value("checks.x86_64-linux.unit-test.name"), "ai-vm-unit-test");
}

#[test]
fn the_guest_finds_its_own_system() {
    let place = Place::new();
    let template = Template::of(&libraries()[0], &json!({ "name": "web", "audio": true }));
    std::fs::write(template.dir().join("hostname"), "web\n").unwrap();
    for name in ["vm", "default", "web"] {
        // What nixos-rebuild builds.
        let toplevel = format!(
            "path:{}#nixosConfigurations.{name}.config.system.build.toplevel",
            template.dir().display()
        );
        let planned = place.plan(&toplevel, &OURS).unwrap();
        assert!(planned.contains("-toplevel.drv"), "{planned}");
    }
    // What it would set up is what the host has set up, which has all of the modules and of the data in its path.
    let unit = "config.systemd.services.ai-vm-configuration.serviceConfig.ExecStart";
    write_vm(&place, &json!({ "schema": 1, "name": "web", "audio": true }));
    let host = place.value(&format!("{}#packages.x86_64-linux.default.{unit}", place.reference("vm")), &VM);
    let inside = format!("path:{}#nixosConfigurations.vm.{unit}", template.dir().display());
    assert_eq!(place.value(&inside, &OURS), host);
    assert!(host.as_str().unwrap().contains("-ai-vm-configuration /etc/nixos git"), "{host}");

    let sound =
        format!("path:{}#nixosConfigurations.vm.config.services.pipewire.enable", template.dir().display());
    assert_eq!(place.value(&sound, &OURS), true);
}
