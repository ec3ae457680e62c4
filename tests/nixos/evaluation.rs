//! Modules and functions, evaluated.

use serde_json::{Value, json};

use crate::nix::{evaluate, evaluate_file, libraries, path, repository};

#[test]
fn what_can_be_computed_is_right() {
    for library in libraries() {
        let outcome = evaluate_file(&library, "unit.nix");
        assert_eq!(outcome["failed"], json!([]), "with {}", library.display());
        assert!(outcome["count"].as_u64().unwrap() >= 79, "only {} tests", outcome["count"]);
    }
}

#[test]
fn every_combination_of_features_evaluates_and_keeps_the_laws() {
    let outcomes: Vec<Value> = std::thread::scope(|scope| {
        let running: Vec<_> = libraries()
            .into_iter()
            .map(|library| scope.spawn(move || evaluate_file(&library, "combinations.nix")))
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for outcome in &outcomes {
        assert_eq!(outcome["failed"], json!([]));
        assert_eq!(outcome["count"], 768);
        assert_eq!(outcome["different"], outcome["count"], "some combinations are the same guest");
        assert!(outcome["laws"].as_u64().unwrap() >= 13);
        assert_eq!(outcome["digest"], outcomes[0]["digest"], "the libraries come to different values");
    }
}

#[test]
fn what_is_wrong_is_noticed() {
    for library in libraries() {
        let outcome = evaluate_file(&library, "refusals.nix");
        let all_true = |key: &str, least: usize| {
            let some = outcome[key].as_object().unwrap();
            assert!(some.len() >= least, "{key} has only {} cases", some.len());
            for (name, held) in some {
                assert_eq!(held, true, "{key}: {name}, with {}", library.display());
            }
        };
        all_true("inGuest", 12);
        all_true("renamed", 20);
        all_true("right", 3);
        all_true("assertions", 3);
        assert_eq!(outcome["withoutQemu"], true);
        assert!(outcome["options"].as_u64().unwrap() > 800);
    }
}

#[test]
fn the_hardening_that_is_written_down_evaluates_and_takes_hold() {
    let text = std::fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let module = text.split("```nix\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("configuration.nix");
    std::fs::write(&file, module).unwrap();
    let tests = path(&repository().join("tests/nixos/guest.nix"));
    let ours = path(&repository().join("nixos"));
    // Beside the guest as it is by itself, so that what is compared is what the module changes.
    let expression = format!(
        "let
           guest = import {tests} {{ inherit lib; }};
           ours = import {ours} {{ inherit (guest) nixpkgs; system = \"x86_64-linux\"; }};
           look = modules:
             let vm = ours.makeCustomVM {{ inherit modules; }}; in
             {{ settings = guest.settingsOf vm; failures = guest.failures vm; }};
         in {{ plain = look [ ]; hard = look [ {} ]; }}",
        path(&file)
    );
    for library in libraries() {
        let outcome = evaluate(&library, &expression).unwrap_or_else(|why| panic!("{why}"));
        let (plain, hard) = (&outcome["plain"]["settings"], &outcome["hard"]["settings"]);
        assert_eq!(outcome["hard"]["failures"], json!([]));
        for (option, before, after) in [
            ("security.sudo.wheelNeedsPassword", json!(false), json!(true)),
            ("services.getty.autologinUser", json!("dev"), json!(null)),
            ("networking.firewall.trustedInterfaces", json!(["eth0"]), json!([])),
            ("security.auditd.enable", json!(null), json!(true)),
        ] {
            assert_eq!(plain[option], before, "{option}");
            assert_eq!(hard[option], after, "{option}");
        }
        assert_eq!(hard["services.openssh.settings"]["AllowUsers"], json!(["dev"]));
        assert_eq!(hard["services.openssh.settings"]["PasswordAuthentication"], json!(false));
        assert_eq!(hard["nix.settings"]["trusted-users"], json!(["root"]));
    }
}
