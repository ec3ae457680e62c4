//! NixOS guests on this machine's side, with the real Nix and a flake that stands in for ai-vm's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::home::{Home, Ran, finish};
use crate::nix::Nix;

const LIMIT: Duration = Duration::from_secs(120);

fn run(home: &Home, nix: &Nix, args: &[&str]) -> Ran {
    let mut command = home.command(args);
    nix.lend(&mut command);
    command.current_dir(home.dir());
    finish(command, LIMIT)
}

fn ok(home: &Home, nix: &Nix, args: &[&str]) -> Ran {
    let ran = run(home, nix, args);
    assert_eq!(ran.code, 0, "ai-vm {args:?}: {}", ran.err);
    ran
}

fn image(home: &Home) -> PathBuf {
    let found = std::fs::read_dir(home.data().join("images")).unwrap().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = found.filter(|path| path.join("image.toml").is_file()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_build_becomes_an_image_once() {
    let home = Home::new();
    let nix = Nix::new(home.dir(), "flake");
    let flake = nix.flake().to_str().unwrap().to_owned();
    let build = ["image", "build", "--flake", &flake, "--user", "dev"];
    ok(&home, &nix, &build);
    let dir = image(&home);
    let text = std::fs::read_to_string(dir.join("image.toml")).unwrap();
    let image: toml::Table = toml::from_str(&text).unwrap();
    assert_eq!(image["nixos"]["version"].as_str(), Some("26.11.stands-in"));
    assert_eq!(image["boot"]["cmdline"].as_str(), Some("console=ttyS0"));
    let result = Path::new(image["nixos"]["result"].as_str().unwrap());
    // What was asked for arrived as data.
    let spec: Value = serde_json::from_slice(&std::fs::read(result.join("spec.json")).unwrap()).unwrap();
    assert_eq!(spec["users"], json!([{ "name": "dev", "uid": spec["users"][0]["uid"] }]));
    // Nix keeps it as long as the image is there.
    let root = home.data().join("gcroots").join(dir.file_name().unwrap());
    assert_eq!(std::fs::read_link(&root).unwrap(), result);
    let collect = |home: &Home| {
        let mut command = std::process::Command::new("nix-collect-garbage");
        nix.lend(&mut command);
        command.env("HOME", home.dir());
        assert_eq!(finish(command, LIMIT).code, 0);
    };
    collect(&home);
    assert!(result.join("manifest.json").exists());
    ok(&home, &nix, &build);
    assert_eq!(self::image(&home), dir);
    ok(&home, &nix, &["image", "prune"]);
    collect(&home);
    assert!(!result.exists() && root.symlink_metadata().is_err());
    assert_eq!(std::fs::read_dir(home.data().join("staging")).unwrap().count(), 0);
}

#[test]
fn no_name_and_no_path_is_evaluated() {
    let home = Home::with_data_in("a ${builtins.abort \"evaluated\"} '' \" \n ?dir=x #y %20 b");
    let nix = Nix::new(home.dir(), "flake");
    let flake = nix.flake().to_str().unwrap().to_owned();
    ok(&home, &nix, &["image", "build", "--flake", &flake, "--user", "dev"]);
    image(&home);
    for user in ["${x}", "a\"b", "a\nb"] {
        assert_eq!(
            run(&home, &nix, &["image", "build", "--flake", &flake, "--user", user]).code,
            2,
            "{user}"
        );
    }
}

#[test]
fn what_fails_is_explained_and_kept() {
    let home = Home::new();
    let nix = Nix::new(home.dir(), "flake");
    let flake = nix.flake().to_str().unwrap().to_owned();
    let build = ["image", "build", "--flake", &flake, "--user", "dev"];
    nix.write(
        "flake.nix",
        "{ outputs = _: { lib.x86_64-linux.makeCustomVM = _: throw \"no such thing\"; }; }",
    );
    let ran = run(&home, &nix, &build);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("(--flake): no such thing") && ran.err.contains("nixos-build.log"),
        "{}",
        ran.err
    );
    let log = std::fs::read_to_string(home.data().join("nixos-build.log")).unwrap();
    assert!(log.contains("no such thing"), "{log}");
    // A flake of somebody else's that wants to show a file of this machine to its guest.
    nix.write(
        "flake.nix",
        r#"{ outputs = { self }: { lib.x86_64-linux.makeCustomVM = _: derivation {
          name = "x"; system = "x86_64-linux"; builder = "/bin/sh";
          manifest = builtins.toJSON {
            schema = 1; family = "nixos"; kernel = "/etc/passwd"; initrd = "/etc/passwd"; cmdline = ""; toplevel = "";
            store.kind = "host"; disk = { kind = "blank"; label = "nixos"; }; nixosVersion = ""; stateVersion = "";
          };
          args = [ "-c" "PATH=/usr/bin:/bin; mkdir $out; printf %s \"$manifest\" >$out/manifest.json" ];
        }; }; }"#,
    );
    let ran = run(&home, &nix, &build);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("`/etc/passwd` is not a file in the store"), "{}", ran.err);
    let ran = run(&home, &nix, &["image", "build", "--flake", "path:/nonexistent", "--user", "dev"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("path:/nonexistent"), "{}", ran.err);
    // Nothing half-made stays.
    assert_eq!(std::fs::read_dir(home.data().join("staging")).unwrap().count(), 0);
    assert!(!home.data().join("images").read_dir().unwrap().flatten().any(|entry| entry.path().is_dir()));
}

#[test]
fn the_guest_family_follows_from_what_is_said_and_what_is_there() {
    let home = Home::new();
    let family = |args: &[&str], variable: Option<&str>, path: Option<&Path>| {
        let mut command = home.command(&[&["create", "x", "--ram", "1"], args].concat());
        match variable {
            Some(family) => command.env("AI_VM_GUEST", family),
            None => command.env_remove("AI_VM_GUEST"),
        };
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let ran = finish(command, LIMIT);
        if ran.code != 0 {
            return Err(ran);
        }
        let family = home.list()[0]["guest"].as_str().unwrap().to_owned();
        home.ok(&["rm", "--yes", "x"]);
        Ok(family)
    };
    let is = |args: &[&str], variable, path| {
        family(args, variable, path).unwrap_or_else(|ran| panic!("{}", ran.err))
    };
    let (with, without) = (home.dir().join("with"), home.dir().join("without"));
    for dir in [&with, &without] {
        std::fs::create_dir(dir).unwrap();
    }
    let version = |version: &str| {
        let text = format!("#!/bin/sh\necho 'nix (Nix) {version}'\n");
        std::fs::write(with.join("nix"), text).unwrap();
        std::fs::set_permissions(with.join("nix"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    };
    // What some distributions have, and nixpkgs refuses.
    version("2.8.0");
    assert_eq!(is(&[], None, Some(&with)), "debian");
    version("2.34.8");
    assert_eq!(is(&[], None, Some(&with)), "nixos");
    assert_eq!(is(&[], None, Some(&without)), "debian");
    assert_eq!(is(&[], Some("debian"), Some(&with)), "debian");
    assert_eq!(is(&["--guest", "nixos"], Some("debian"), None), "nixos");
    assert_eq!(is(&["--flake", "github:a/b"], Some("debian"), None), "nixos");
    std::fs::write(home.dir().join("config.toml"), "guest = \"debian\"\n").unwrap();
    assert_eq!(is(&[], None, Some(&with)), "debian");
    assert_eq!(is(&[], Some("nixos"), None), "nixos");
    for (args, part) in [
        (&["--guest", "windows"][..], "`windows` is not a guest family"),
        (&["--guest", "debian", "--flake", "x"], "takes no `--flake`"),
        (&["--guest", "nixos", "--image", "x"], "takes no `--image`"),
    ] {
        let ran = family(args, None, None).unwrap_err();
        assert!(ran.code == 2 && ran.err.contains(part), "{}: {}", ran.code, ran.err);
    }
    let ran = family(&[], Some("windows"), None).unwrap_err();
    assert!(ran.code == 2 && ran.err.contains("`windows`"), "{}", ran.err);
}

#[test]
fn a_machine_without_nix_says_what_to_do() {
    let home = Home::new();
    home.ok(&["create", "x", "--guest", "nixos", "--ram", "1"]);
    let mut command = home.command(&["image", "build", "--guest", "nixos"]);
    command.env("PATH", home.dir());
    let ran = finish(command, LIMIT);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("--guest debian"), "{}", ran.err);
}

#[test]
fn config_shows_the_flake_and_why() {
    let home = Home::new();
    let shown = |command: &mut std::process::Command| {
        let mut whole = home.command(&["config", "--json"]);
        whole.current_dir(command.get_current_dir().unwrap_or(home.dir()));
        for (name, value) in command.get_envs() {
            whole.env(name, value.unwrap());
        }
        let value: Value = serde_json::from_str(&finish(whole, LIMIT).out).unwrap();
        value["flake"].clone()
    };
    let plain = || std::process::Command::new("true");
    assert_eq!(shown(&mut plain()), Value::Null);
    let flake = shown(plain().env("AI_VM_FLAKE", "github:a/b"));
    assert_eq!(flake, json!({ "reference": "github:a/b", "origin": "variable" }));
    let here = shown(plain().current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));
    assert_eq!(here["origin"], "working_directory");
    assert!(here["reference"].as_str().unwrap().ends_with(env!("CARGO_MANIFEST_DIR")), "{here}");
    std::fs::write(home.dir().join("config.toml"), "flake = \"path:/x\"\n").unwrap();
    assert_eq!(shown(&mut plain())["origin"], "configuration");
    let mut text = home.command(&["config"]);
    text.current_dir(home.dir());
    assert!(finish(text, LIMIT).out.contains("flake = \"path:/x\"  # the configuration file\n"));
}

#[test]
fn a_system_is_built_anew_from_the_host() {
    let home = Home::new();
    let nix = Nix::new(home.dir(), "flake");
    let flake = nix.flake().to_str().unwrap().to_owned();
    for name in ["a", "b"] {
        ok(&home, &nix, &["create", name, "--flake", &flake, "--user", "dev", "--ram", "1"]);
    }
    let outdated = || -> Vec<Value> { home.list().iter().map(|vm| vm["outdated"].clone()).collect() };
    assert_eq!(outdated(), [Value::Null, Value::Null]);
    ok(&home, &nix, &["rebuild", "--host", "a", "b"]);
    assert_eq!(outdated(), [json!(false), json!(false)]);
    let first = image(&home);
    let ran = ok(&home, &nix, &["rebuild", "--host", "a"]);
    assert!(ran.err.contains("is what is built now already"), "{}", ran.err);
    assert!(!home.vm("a").join("forget-recorded").exists());

    // Images are told apart by the second in which they were made.
    std::thread::sleep(Duration::from_millis(1100));
    nix.write("cmdline", "console=ttyS0 changed");
    let ran = ok(&home, &nix, &["rebuild", "--host", "a"]);
    assert!(ran.err.contains("b: outdated") && !ran.err.contains("a: outdated"), "{}", ran.err);
    assert!(home.vm("a").join("forget-recorded").exists());
    assert_eq!(outdated(), [json!(false), json!(true)]);
    assert!(home.ok(&["ls"]).out.contains("OUTDATED"));
    // What was built in the guest may lean on the first.
    ok(&home, &nix, &["rm", "--yes", "b"]);
    ok(&home, &nix, &["image", "prune"]);
    assert!(first.is_dir());
    // Somebody has emptied Nix' store.
    let kernel: toml::Table =
        toml::from_str(&std::fs::read_to_string(first.join("image.toml")).unwrap()).unwrap();
    let kernel = kernel["boot"]["kernel"].as_str().unwrap().to_owned();
    let ran = run(&home, &nix, &["image", "ls", "--json"]);
    assert!(!ran.out.contains("problem"), "{}", ran.out);
    let store = Path::new(&kernel).parent().unwrap();
    std::fs::set_permissions(store, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::rename(&kernel, home.dir().join("elsewhere")).unwrap();
    let ran = run(&home, &nix, &["start", "a"]);
    assert!(ran.code == 1 && ran.err.contains("ai-vm rebuild NAME --host"), "{}: {}", ran.code, ran.err);
    std::fs::rename(home.dir().join("elsewhere"), &kernel).unwrap();
    ok(&home, &nix, &["rm", "--yes", "a"]);
    ok(&home, &nix, &["image", "prune"]);
    assert!(!first.exists() && std::fs::read_dir(home.data().join("gcroots")).unwrap().count() == 0);
}
