//! The flake that ai-vm writes to build a VM, and the one that the VM has to rebuild itself.

use std::path::Path;

use serde_json::{Value, json};

use crate::nix::{evaluate, libraries, path, repository};
use crate::stage::Template;

/// Hostile texts: each is a name and a path that is one text and nothing else.
const HOSTILE: [&str; 7] = [
    "${builtins.abort \"evaluated\"}",
    "\"; builtins.abort \"evaluated\"; x = \"",
    "''${1}''",
    "a\nb",
    "a'; touch /tmp/evaluated; '",
    "a,readonly=off",
    "Ünïcödé 日本 'a' \"b\" $(c) `d`",
];

/// Evaluates the flake for a VM, from the vm.json of a directory; what is asked of its package is `what`.
fn vm_flake(library: &Path, data: &str, what: &str) -> Result<Value, String> {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository();
    std::fs::copy(repository.join("nixos/vm-flake/flake.nix"), dir.path().join("flake.nix")).unwrap();
    std::fs::write(dir.path().join("vm.json"), data).unwrap();
    let expression = format!(
        "let
          guest = import {guest} {{ inherit lib; }};
          ours = import {ours} {{ inherit (guest) nixpkgs; system = \"x86_64-linux\"; }};
          flake = (import {flake}).outputs {{ self = {{ }}; ai-vm.lib.x86_64-linux = ours; }};
          vm = flake.packages.x86_64-linux.default;
        in {what}",
        guest = path(&repository.join("tests/nixos/guest.nix")),
        ours = path(&repository.join("nixos")),
        flake = path(&dir.path().join("flake.nix")),
    );
    evaluate(library, &expression)
}

#[test]
fn a_vm_is_built_from_its_data() {
    let data =
        json!({ "schema": 1, "name": "web", "overlay": true, "users": [{ "name": "dev", "uid": 1001 }] });
    for library in libraries() {
        let what =
            "{ inherit (vm) name; inherit (vm.given) meta; manifest = vm.given.manifest.given.value; }";
        let vm = vm_flake(&library, &data.to_string(), what).unwrap();
        assert_eq!(vm["name"], "ai-vm-web");
        assert_eq!(vm["meta"]["mainProgram"], "run-web-vm");
        let manifest = &vm["manifest"];
        assert_eq!(manifest["schema"], 1);
        assert_eq!(manifest["family"], "nixos");
        assert_eq!(manifest["store"], json!({ "kind": "host" }));
        assert_eq!(manifest["disk"], json!({ "kind": "blank", "label": "nixos" }));
        let features = json!({ "overlay": true, "audio": false, "desktop": false, "resolution": null });
        assert_eq!(manifest["features"], features);
        let text = |key: &str| manifest[key].as_str().unwrap().to_owned();
        assert!(
            text("kernel").starts_with(&text("toplevel")) && text("initrd").starts_with(&text("toplevel"))
        );
        assert!(text("cmdline").contains(&format!(" init={}/init regInfo=/nix/store/", text("toplevel"))));
        assert!(text("cmdline").ends_with("console=ttyS0,115200n8"));
    }
}

#[test]
fn hostile_data_is_refused_or_arrives_exactly() {
    for library in libraries() {
        for hostile in HOSTILE {
            for data in [json!({ "name": hostile }), json!({ "users": [hostile] }), json!({ hostile: true })]
            {
                let mut data = data;
                data["schema"] = 1.into();
                let why = vm_flake(&library, &data.to_string(), "vm.name").unwrap_err();
                assert!(why.contains("ai-vm: ") && !why.contains("evaluation aborted"), "{data}: {why}");
            }
            let folder = format!("/srv/{hostile}");
            let data = json!({ "schema": 1, "sharedRO": [folder], "sharedRW": [folder] });
            let what = "lib.filter (lib.hasInfix \"/srv/\") vm.config.virtualisation.qemu.options";
            match vm_flake(&library, &data.to_string(), what) {
                Err(why) => {
                    assert!(hostile.contains('\n'), "{hostile}: {why}");
                    assert!(why.contains("ai-vm: ") && why.contains("control characters"), "{why}");
                }
                Ok(options) => {
                    let mut options: Vec<_> =
                        options.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
                    options.sort_by_key(|option| option.contains("mount_tag=rw-"));
                    let [read_only, writable] = options[..] else { panic!("{options:?}") };
                    assert_eq!(
                        shell_words(read_only, "1000"),
                        share(&folder, read_only, "ro", "none,readonly=on")
                    );
                    assert_eq!(shell_words(writable, "1000"), share(&folder, writable, "rw", "none"));
                    // As root, QEMU could make files of root's; so it notes owners down instead.
                    assert_eq!(shell_words(writable, "0"), share(&folder, writable, "rw", "mapped-xattr"));
                }
            }
        }
    }
}

/// What a shell of the user with this id makes of an option of the run script.
fn shell_words(option: &str, uid: &str) -> Vec<String> {
    let script = format!("id() {{ echo {uid}; }}; printf '%s\\0' {option}");
    let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

/// The two words that QEMU has to get for a shared folder.
fn share(folder: &str, option: &str, mode: &str, model: &str) -> Vec<String> {
    let tag = option.split("mount_tag=").nth(1).unwrap().split(',').next().unwrap();
    assert!(tag.len() <= 31 && tag.starts_with(mode), "{tag}");
    let path = folder.replace(',', ",,");
    let value = format!("local,path={path},mount_tag={tag},multidevs=remap,security_model={model}");
    vec!["-virtfs".to_owned(), value]
}

#[test]
fn data_cannot_bring_modules_or_another_schema() {
    for library in libraries() {
        for (data, says) in [
            (json!({ "name": "web" }), "does not say which schema"),
            (json!({ "schema": 2 }), "schema 1, not 2"),
            (json!({ "schema": 1, "modules": ["/etc/passwd"] }), "vm.json has modules"),
            (json!({ "schema": 1, "overaly": true }), "a VM has no \\\"overaly\\\""),
        ] {
            let why = vm_flake(&library, &data.to_string(), "vm.name").unwrap_err();
            assert!(why.contains(&says.replace("\\\"", "\"")), "{data}: {why}");
        }
    }
}

#[test]
fn a_rebuild_in_the_guest_without_a_change_is_the_same_system() {
    let specs = [
        json!({}),
        json!({ "name": "Web_1", "overlay": true, "audio": true, "git": false, "stateVersion": "25.11" }),
        json!({ "ram": "512mb", "desktop": true, "resolution": "1920x1080", "store": "image", "ports": ["8080:80"],
                "sharedRO": ["/srv/a, 'b' ${c}"], "users": [{ "name": "ops", "keys": ["ssh-ed25519 AAAA x"] }] }),
    ];
    for library in libraries() {
        for spec in &specs {
            let template = Template::of(&library, spec);
            std::fs::write(template.dir().join("hostname"), "some-host\n").unwrap();
            let host = evaluate(
                &library,
                &format!("let {} in {{ settings = guest.settingsOf vm; }}", template.binding()),
            )
            .unwrap();
            let inside = evaluate(
                &library,
                &format!(
                    "let {binding}
                      flake = (import {flake}).outputs {{ inherit (guest) nixpkgs; self = {{ }}; }};
                      systems = flake.nixosConfigurations;
                    in {{
                      names = lib.attrNames systems;
                      settings = guest.settingsOf systems.some-host;
                      failures = guest.failures systems.vm;
                    }}",
                    binding = template.binding(),
                    flake = path(&template.dir().join("flake.nix")),
                ),
            )
            .unwrap();
            assert_eq!(inside["names"], json!(["default", "some-host", "vm"]));
            assert_eq!(inside["failures"], json!([]));
            let (host, inside) = (&host["settings"], &inside["settings"]);
            for (option, value) in host.as_object().unwrap() {
                // What the host leaves open is written down in the guest, and the same.
                if option == "ai-vm" {
                    assert_eq!(inside[option]["stateVersion"], host["system.stateVersion"]);
                } else {
                    assert_eq!(&inside[option], value, "{option}");
                }
            }
            assert_eq!(host.as_object().unwrap().len(), inside.as_object().unwrap().len());
        }
    }
}

#[test]
fn what_is_changed_in_the_guest_counts() {
    let library = &libraries()[0];
    let template = Template::of(library, &json!({}));
    let configuration = template.dir().join("configuration.nix");
    std::fs::write(&configuration, "{ ai-vm.audio = true; networking.firewall.allowedTCPPorts = [ 8080 ]; }")
        .unwrap();
    std::fs::write(template.dir().join("hostname"), "vm\n").unwrap();
    let inside = evaluate(
        library,
        &format!(
            "let {binding}
              inherit ((import {flake}).outputs {{ inherit (guest) nixpkgs; self = {{ }}; }}) nixosConfigurations;
              inherit (nixosConfigurations.vm) config;
            in {{
              names = lib.attrNames nixosConfigurations;
              sound = config.services.pipewire.enable;
              ports = config.networking.firewall.allowedTCPPorts;
            }}",
            binding = template.binding(),
            flake = path(&template.dir().join("flake.nix")),
        ),
    )
    .unwrap();
    // A VM named as what the flake calls every VM.
    assert_eq!(inside, json!({ "names": ["default", "vm"], "sound": true, "ports": [8080] }));
}
