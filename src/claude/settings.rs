//! What of the user's settings of Claude Code a guest gets. Pure.
//!
//! What is known to be harmless travels, and of what is not known only switches and numbers, which hold no secret and
//! run nothing. The keys are those of Claude Code's settings reference (code.claude.com/docs/en/settings).

use serde_json::{Map, Value};

/// What the user wants besides what always travels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Variables of `env` that travel whatever they hold.
    pub env: Vec<String>,
    /// Whether hooks travel, as far as they need nothing of this machine.
    pub hooks: bool,
}

/// Settings for a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// The file, as it is to be.
    pub text: String,
    /// The keys that do not travel, each once, in order.
    pub left_out: Vec<String>,
}

/// Where Claude Code's files lie, for who asks for hooks.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The directory here, without a slash at its end.
    pub config: &'a str,
    /// The home directory here, likewise.
    pub home: &'a str,
}

/// Keys whose values are words or lists of words that mean the same in a guest.
const KNOWN: [&str; 24] = [
    "attribution",
    "autoUpdatesChannel",
    "availableModels",
    "disabledMcpjsonServers",
    "editorMode",
    "effortLevel",
    "enabledMcpjsonServers",
    "enabledPlugins",
    "fallbackModel",
    "language",
    "model",
    "outputStyle",
    "preferredNotifChannel",
    "skillOverrides",
    "spinnerTipsOverride",
    "spinnerVerbs",
    "$schema",
    "teammateMode",
    "theme",
    "tui",
    "viewMode",
    "voice",
    "worktree",
    "advisorModel",
];

/// Variables whose values are the names of models or languages.
const WORDS: [&str; 9] = [
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_DEFAULT_FABLE_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
    "LANG",
    "TZ",
];

/// Parts of the names of variables that hold secrets.
const SECRET: [&str; 8] = ["TOKEN", "KEY", "SECRET", "PASS", "AUTH", "CREDENTIAL", "COOKIE", "PIN"];

/// Directories that are the same on every machine, for the paths in hooks.
const COMMON: [&str; 5] = ["/bin/", "/usr/bin/", "/dev/null", "/dev/std", "/tmp/"];

/// Returns the settings for a guest, where nobody is asked whether full permission is meant.
pub fn filter(text: &[u8], asked: &Asked, places: Places<'_>) -> Result<Filtered, serde_json::Error> {
    let given: Map<String, Value> = serde_json::from_slice(text)?;
    let mut kept = Map::new();
    let mut left_out = Vec::new();
    for (key, value) in given {
        let passes = match key.as_str() {
            "env" => {
                part(&mut kept, &mut left_out, &key, value, |name, value| passes_env(name, value, asked));
                continue;
            }
            // What is allowed needs not be said where everything is; what is to be asked for would stop an agent.
            "permissions" => {
                part(&mut kept, &mut left_out, &key, value, |name, _| name == "deny");
                continue;
            }
            "hooks" if asked.hooks => {
                let before = value.clone();
                let hooks = portable_hooks(value, places);
                if left_behind(&before, places) {
                    left_out.push("hooks of this machine's programs".to_owned());
                }
                kept.insert(key, hooks);
                continue;
            }
            "skipDangerousModePermissionPrompt" => continue,
            "disableBypassPermissionsMode" => false,
            known if KNOWN.contains(&known) => true,
            _ => matches!(value, Value::Bool(_) | Value::Number(_)),
        };
        if passes {
            kept.insert(key, value);
        } else {
            left_out.push(key);
        }
    }
    kept.insert("skipDangerousModePermissionPrompt".to_owned(), Value::Bool(true));
    let text = format!("{:#}\n", Value::Object(kept));
    Ok(Filtered { text, left_out })
}

/// Keeps the entries of an object that pass.
fn part(
    kept: &mut Map<String, Value>,
    left_out: &mut Vec<String>,
    key: &str,
    value: Value,
    passes: impl Fn(&str, &Value) -> bool,
) {
    let Value::Object(entries) = value else {
        left_out.push(key.to_owned());
        return;
    };
    let (good, bad): (Map<_, _>, Map<_, _>) =
        entries.into_iter().partition(|(name, value)| passes(name, value));
    left_out.extend(bad.into_iter().map(|(name, _)| format!("{key}.{name}")));
    if !good.is_empty() {
        kept.insert(key.to_owned(), Value::Object(good));
    }
}

/// Tells whether a variable travels: asked for, or with a value that can be no secret.
fn passes_env(name: &str, value: &Value, asked: &Asked) -> bool {
    if asked.env.iter().any(|wanted| wanted == name) {
        return true;
    }
    let upper = name.to_uppercase();
    // The limit of what a model may say, and the like.
    let counts_tokens = upper.ends_with("_TOKENS");
    if !counts_tokens && SECRET.iter().any(|secret| upper.contains(secret)) {
        return false;
    }
    match value {
        Value::String(text) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@[]".contains(c);
            let is_switch = ["true", "false", "yes", "no", "on", "off", ""].contains(&text.as_str());
            let is_number = text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
            is_switch || is_number || (WORDS.contains(&name) && text.len() <= 64 && text.chars().all(plain))
        }
        Value::Bool(_) | Value::Number(_) => true,
        _ => false,
    }
}

/// Keeps the hooks that need nothing of this machine, with the paths that they have in a guest.
fn portable_hooks(value: Value, places: Places<'_>) -> Value {
    match value {
        Value::Array(entries) => {
            let portable = entries.into_iter().filter(|entry| !is_of_here(entry, places));
            Value::Array(portable.map(|entry| portable_hooks(entry, places)).collect())
        }
        Value::Object(entries) => {
            let portable = |(key, value)| (key, portable_hooks(value, places));
            Value::Object(entries.into_iter().map(portable).collect())
        }
        Value::String(text) => Value::String(text.replace(places.config, "$HOME/.claude")),
        other => other,
    }
}

fn left_behind(value: &Value, places: Places<'_>) -> bool {
    match value {
        Value::Array(entries) => {
            entries.iter().any(|entry| is_of_here(entry, places) || left_behind(entry, places))
        }
        Value::Object(entries) => entries.values().any(|entry| left_behind(entry, places)),
        _ => false,
    }
}

/// Tells whether a hook runs something of this machine that a guest does not have.
fn is_of_here(entry: &Value, places: Places<'_>) -> bool {
    let Some(Value::String(command)) = entry.get("command") else { return false };
    let command = command.replace(places.config, "$HOME/.claude").replace("${HOME}", "$HOME");
    let ends = |c: char| c.is_whitespace() || "'\"=;|&()<>`".contains(c);
    command.split(ends).any(|word| {
        let below_home = word.strip_prefix("~/").or_else(|| word.strip_prefix("$HOME/"));
        match below_home {
            Some(rest) => !rest.starts_with(".claude/hooks/") && !rest.starts_with(".claude/skills/"),
            None => {
                let is_common = COMMON.iter().any(|common| word.starts_with(common));
                (word.starts_with('/') && word.len() > 1 && !is_common) || word.contains(places.home)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const HERE: Places<'static> = Places { config: "/home/u/.claude", home: "/home/u" };

    fn filtered(given: &Value, asked: &Asked) -> (Value, Vec<String>) {
        let filtered = filter(given.to_string().as_bytes(), asked, HERE).unwrap();
        (serde_json::from_str(&filtered.text).unwrap(), filtered.left_out)
    }

    #[test]
    fn what_is_harmless_travels_and_nothing_else() {
        let given = json!({
            "model": "opus", "cleanupPeriodDays": 20, "someNewSwitch": true, "someNewText": "CANARY",
            "apiKeyHelper": "CANARY", "awsAuthRefresh": "CANARY", "otelHeadersHelper": "CANARY",
            "statusLine": { "type": "command", "command": "CANARY" }, "sandbox": { "enabled": true },
            "disableBypassPermissionsMode": "disable", "hooks": { "Stop": ["CANARY"] },
            "permissions": { "allow": ["Bash(curl CANARY)"], "ask": ["Bash"], "deny": ["Read(./x)"], "defaultMode": "plan" },
            "env": {
                "DISABLE_TELEMETRY": "1", "MAX_THINKING_TOKENS": "31999", "ANTHROPIC_MODEL": "opus",
                "ANTHROPIC_API_KEY": "CANARY", "MY_PIN": "1234", "ANYTHING": "CANARY", "N": { "a": "CANARY" }
            },
        });
        let (kept, left_out) = filtered(&given, &Asked::default());
        let expected = json!({
            "model": "opus", "cleanupPeriodDays": 20, "someNewSwitch": true,
            "permissions": { "deny": ["Read(./x)"] },
            "env": { "DISABLE_TELEMETRY": "1", "MAX_THINKING_TOKENS": "31999", "ANTHROPIC_MODEL": "opus" },
            "skipDangerousModePermissionPrompt": true,
        });
        assert_eq!(kept, expected);
        let left_out = left_out.join(" ");
        for key in
            ["apiKeyHelper", "env.ANTHROPIC_API_KEY", "env.MY_PIN", "permissions.allow", "sandbox", "hooks"]
        {
            assert!(left_out.contains(key), "{key}: {left_out}");
        }
        let asked = Asked { env: vec!["ANYTHING".to_owned()], hooks: false };
        assert_eq!(filtered(&given, &asked).0["env"]["ANYTHING"], "CANARY");
    }

    #[test]
    fn hooks_that_need_nothing_of_here_travel_when_they_are_asked_for() {
        let hook = |command: &str| json!({ "hooks": [{ "type": "command", "command": command }] });
        let given = json!({ "hooks": { "Stop": [
            hook("/home/u/.claude/hooks/done.sh -q"),
            hook("jq . </dev/null"),
            hook("~/bin/notify"),
            hook("node /opt/mine/x.js"),
            hook("X=\"${HOME}/x\" y"),
        ] } });
        let (kept, left_out) = filtered(&given, &Asked { env: Vec::new(), hooks: true });
        let text = kept.to_string();
        assert!(text.contains("$HOME/.claude/hooks/done.sh -q") && text.contains("jq ."), "{text}");
        assert!(!text.contains("notify") && !text.contains("/opt") && !text.contains("{HOME}"), "{text}");
        assert_eq!(left_out, ["hooks of this machine's programs"]);
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for text in ["", "[]", "{", "null", "{\"a\": }"] {
            assert!(filter(text.as_bytes(), &Asked::default(), HERE).is_err(), "{text}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            Just(Value::from("CANARY"))
        ];
        leaf.prop_recursive(4, 30, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("[a-z]{1,8}|env|hooks|permissions", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn no_text_of_an_unknown_key_travels(
            known in proptest::collection::vec(("[a-zA-Z]{1,12}|env|hooks|apiKeyHelper|statusLine", json()), 0..8)
        ) {
            let given: Map<String, Value> =
                known.into_iter().filter(|(key, _)| !KNOWN.contains(&key.as_str())).collect();
            let filtered = filter(&serde_json::to_vec(&given).unwrap(), &Asked::default(), HERE).unwrap();
            let denied = given.get("permissions").is_some();
            prop_assert!(denied || !filtered.text.contains("CANARY"), "{}", filtered.text);
            // Filtered once more it stays as it is.
            let again = filter(filtered.text.as_bytes(), &Asked::default(), HERE).unwrap();
            prop_assert_eq!(again.text, filtered.text);
        }
    }
}
