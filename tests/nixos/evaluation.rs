//! Modules and functions, evaluated.

use serde_json::{Value, json};

use crate::nix::{evaluate_file, libraries};

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
