//! Which files have a login, and which of two is newer.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn file(expires: u64, refresh: &str) -> Value {
    json!({
        "claudeAiOauth": {
            "accessToken": "sk-ant-oat01-access-access",
            "refreshToken": refresh,
            "expiresAt": expires,
            "scopes": ["user:inference", "user:profile"],
            "subscriptionType": "max",
            "rateLimitTier": "t",
        },
        "mcpOAuth": {"server": {"accessToken": "theirs"}},
    })
}

const REFRESH: &str = "sk-ant-ort01-refresh-refresh";

fn parse(value: &Value) -> Result<Credentials, Malformed> {
    Credentials::parse(value.to_string().as_bytes())
}

#[test]
fn a_login_is_read_and_goes_into_a_file_of_others() {
    let login = parse(&file(1_800_000_000_000, REFRESH)).unwrap();
    assert_eq!((login.expires(), login.ends()), (Millis(1_800_000_000_000), None));
    assert_eq!(login.expires().to_string(), "2027-01-15T08:00:00Z");
    assert_eq!(
        format!("{login:?}"),
        format!("Credentials({} until 2027-01-15T08:00:00Z)", login.fingerprint())
    );
    let alone: Value = serde_json::from_slice(&login.put_into(None).unwrap()).unwrap();
    assert_eq!(alone["claudeAiOauth"], file(1_800_000_000_000, REFRESH)["claudeAiOauth"]);
    assert_eq!(alone.as_object().unwrap().len(), 1, "what is not the login has come along");
    let theirs = json!({"mcpOAuth": {"x": 1}, "claudeAiOauth": {"old": true}}).to_string();
    let merged: Value = serde_json::from_slice(&login.put_into(Some(theirs.as_bytes())).unwrap()).unwrap();
    assert_eq!((&merged["mcpOAuth"], &merged["claudeAiOauth"]), (&json!({"x": 1}), &alone["claudeAiOauth"]));
    assert_eq!(login.put_into(Some(b"[]")), Err(Malformed::NotJson));
    let kept: Credentials = serde_json::from_value(serde_json::to_value(&login).unwrap()).unwrap();
    assert_eq!(kept, login);
}

#[test]
fn what_is_no_login_is_told_by_its_member_and_never_by_its_value() {
    let with = |member: &str, value: Value| {
        let mut file = file(1_800_000_000_000, REFRESH);
        file["claudeAiOauth"][member] = value;
        file
    };
    for bad in [
        with("accessToken", json!("CANARY with blanks CANARY")),
        with("accessToken", json!("CANARY-short")),
        with("refreshToken", json!(["CANARYCANARYCANARY"])),
        with("refreshToken", json!("CANARYCANARYCANARY\u{1b}[2J")),
        with("refreshToken", json!(null)),
        with("expiresAt", json!("CANARY")),
        with("expiresAt", json!(null)),
        with("expiresAt", json!(-1)),
        with("expiresAt", json!(1_800_000_000)),
        with("expiresAt", json!(1e300)),
        with("expiresAt", json!(u64::MAX)),
        with("refreshTokenExpiresAt", json!(7)),
        with("subscriptionType", json!("CANARY\u{0}")),
        with("scopes", json!(["CANARY\n"])),
        with("CANARY\u{7f}", json!(1)),
        with("deep", json!([[[[[[[[[["CANARY"]]]]]]]]]])),
        json!({"claudeAiOauth": "CANARY"}),
    ] {
        let error = parse(&bad).unwrap_err();
        assert!(matches!(error, Malformed::Member { .. }), "{bad}: {error}");
        assert!(!error.to_string().contains("CANARY"), "{error}");
    }
    for none in
        [json!({}), json!({"claudeAiOauth": null}), json!({"claudeAiOauth": {}}), json!({"mcpOAuth": {}})]
    {
        assert_eq!(parse(&none), Err(Malformed::NoLogin), "{none}");
    }
    for other in ["", "[", "null", "[]", "\"CANARY\"", "{\"claudeAiOauth\":"] {
        assert_eq!(Credentials::parse(other.as_bytes()), Err(Malformed::NotJson), "{other}");
    }
    let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(MAX_BYTES));
    assert_eq!(Credentials::parse(huge.as_bytes()), Err(Malformed::TooLarge));
}

#[test]
fn ends_are_told_days_ahead() {
    let mut value = file(1_800_000_000_000, REFRESH);
    value["claudeAiOauth"]["refreshTokenExpiresAt"] = json!(1_801_000_000_000_u64);
    let login = parse(&value).unwrap();
    let before = |days: u64| Millis(1_801_000_000_000 - days * 24 * 3600 * 1000);
    assert!(!login.ends_soon(before(6)) && login.ends_soon(before(5)) && login.ends_soon(before(1)));
    assert!(!login.has_ended(before(1)) && login.has_ended(before(0)) && !login.ends_soon(before(0)));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-zA-Z]{1,12}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Credentials::parse(&bytes);
    }

    #[test]
    fn what_is_accepted_is_kept_exactly_and_has_no_control_characters(
        member in "(accessToken|refreshToken|expiresAt|scopes|x)", value in any_json()
    ) {
        let mut given = file(1_800_000_000_000, REFRESH);
        given["claudeAiOauth"][member.as_str()] = value;
        if let Ok(login) = parse(&given) {
            let written = login.put_into(None).unwrap();
            prop_assert!(!String::from_utf8(written.clone()).unwrap().contains("\\u00"));
            prop_assert_eq!(Credentials::parse(&written).unwrap(), login);
        }
    }

    #[test]
    fn newer_is_an_order(times in proptest::collection::vec(1_700_000_000_000_u64..1_700_000_000_005, 3)) {
        let logins: Vec<_> = times.iter().map(|time| parse(&file(*time, REFRESH)).unwrap()).collect();
        let (a, b, c) = (&logins[0], &logins[1], &logins[2]);
        prop_assert!(!a.is_newer_than(a));
        prop_assert!(!(a.is_newer_than(b) && b.is_newer_than(a)));
        prop_assert!(!(a.is_newer_than(b) && b.is_newer_than(c)) || a.is_newer_than(c));
    }
}
