//! Whose login it is, as far as Claude Code's own files tell. Pure.
//!
//! The file with the login does not say. Beside it `.claude.json` has an object `oauthAccount`, with `accountUuid`,
//! `organizationUuid` and `emailAddress`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest text that is taken, in bytes: an e-mail address has at most 254 (RFC 5321).
const MAX_TEXT: usize = 254;

/// An account, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its identifier.
    #[serde(default, rename = "accountUuid", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// That of the organisation on whose behalf it acts.
    #[serde(default, rename = "organizationUuid", skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Its e-mail address, for people.
    #[serde(default, rename = "emailAddress", skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl Account {
    /// Reads the whole of `.claude.json`. Whatever cannot be read is not known.
    pub fn of_state(json: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct State {
            #[serde(default, rename = "oauthAccount")]
            account: Value,
        }
        serde_json::from_slice(json).map(|State { account }| Self::of(&account)).unwrap_or_default()
    }

    /// Reads the one member of it that tells, `"oauthAccount": {...}`.
    pub fn of_member(member: &[u8]) -> Self {
        Self::of_state(&[b"{", member, b"}"].concat())
    }

    fn of(account: &Value) -> Self {
        let text = |key: &str| account.get(key)?.as_str().filter(|text| is_plain(text)).map(str::to_owned);
        Self { id: text("accountUuid"), organization: text("organizationUuid"), email: text("emailAddress") }
    }

    /// Tells whether the two are known to be different. What one does not tell says nothing.
    pub fn differs_from(&self, other: &Self) -> bool {
        fn differ(one: Option<&String>, other: Option<&String>) -> bool {
            one.zip(other).is_some_and(|(one, other)| !one.eq_ignore_ascii_case(other))
        }
        differ(self.id.as_ref(), other.id.as_ref())
            || differ(self.organization.as_ref(), other.organization.as_ref())
            // An address can change; it says something only where there is nothing better.
            || (self.id.is_none() || other.id.is_none()) && differ(self.email.as_ref(), other.email.as_ref())
    }

    /// Tells whether anything is known of it.
    pub fn is_known(&self) -> bool {
        *self != Self::default()
    }
}

fn is_plain(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && text.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.email.as_ref().or(self.id.as_ref()), &self.organization) {
            (Some(who), Some(organization)) => {
                // Enough of it to see which one it is.
                write!(f, "{who} ({})", organization.chars().take(8).collect::<String>())
            }
            (Some(who), None) => f.write_str(who),
            (None, Some(organization)) => f.write_str(organization),
            (None, None) => f.write_str("an account that is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(id: &str, organization: &str, email: &str) -> Account {
        let text = format!(
            "\"oauthAccount\": {{\"accountUuid\":\"{id}\",\n\"organizationUuid\":\"{organization}\",\
             \"emailAddress\":\"{email}\",\"more\":1}}"
        );
        Account::of_member(text.as_bytes())
    }

    #[test]
    fn only_what_both_tell_can_differ() {
        let (a, b) = (member("1", "2", "a@x"), member("3", "2", "a@x"));
        assert!(a.differs_from(&b) && b.differs_from(&a));
        assert!(a.differs_from(&member("1", "4", "a@x")));
        assert!(!a.differs_from(&member("1", "2", "renamed@x")));
        assert!(!a.differs_from(&Account::default()) && !Account::default().differs_from(&a));
        assert!(a.differs_from(&Account { id: None, ..member("9", "2", "b@x") }));
        assert_eq!(a.to_string(), "a@x (2)");
    }

    #[test]
    fn what_is_no_account_is_not_known() {
        for state in
            ["", "{}", "[]", "{\"oauthAccount\":null}", "{\"oauthAccount\":{\"accountUuid\":7}}", "{\"x"]
        {
            assert!(!Account::of_state(state.as_bytes()).is_known(), "{state}");
        }
        assert!(!member("a b", "\\u001b[2J", "\\n").is_known());
        assert!(!member(&"x".repeat(MAX_TEXT + 1), "", "").is_known());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Account::of_member(&bytes).to_string().chars().all(|c| !c.is_control()));
        }
    }
}
