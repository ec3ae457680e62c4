//! The login of Claude Code as its file has it, `.credentials.json`: read strictly, because it may come from a guest. Pure.
//!
//! The file is an object. Its member `claudeAiOauth` is the login: an access token that is good until `expiresAt`
//! (milliseconds since 1970; some eight hours), a refresh token that is good for one renewal, and what belongs to them. Other
//! members, such as logins on MCP servers, are nobody's business here: they stay where they are.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// The member that is the login.
const LOGIN: &str = "claudeAiOauth";

/// The shortest and the longest token, in bytes.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=8192;

/// How deep values of members that are not known here may be nested.
const MAX_DEPTH: usize = 8;

/// 2020 and 2100: what lies outside is no time at which a login expires, in milliseconds since 1970.
const TIMES: std::ops::RangeInclusive<u64> = 1_577_836_800_000..=4_102_444_800_000;

/// How long before its end a login is told to end.
const AHEAD: Duration = Duration::from_secs(5 * 24 * 3600);

/// A moment, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Millis(pub u64);

impl Millis {
    /// Returns the present moment.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Returns the moment that is so much later.
    #[must_use]
    pub fn plus(self, more: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(more.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Tells whether a login that expires then has to be renewed by now, or will soon. (Claude Code does not wait until the
    /// last moment.)
    pub fn is_due(self, now: Self) -> bool {
        /// How long before it may do that.
        const EARLY: Duration = Duration::from_secs(3600);
        self <= now.plus(EARLY)
    }

    /// Returns how long it is from `earlier` until then; nothing when that is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// As RFC 3339 has it, to the second.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What RFC 3339 can say ends with the year 9999.
        let known = UNIX_EPOCH + Duration::from_millis(self.0.min(*TIMES.end()));
        humantime::format_rfc3339_seconds(known).fmt(f)
    }
}

/// Why a file has no login that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// More than a login can have.
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not JSON, or no object.
    #[error("it is not a JSON object")]
    NotJson,
    /// Nobody is logged in by it.
    #[error("nobody is logged in by it")]
    NoLogin,
    /// A member is missing or is not what it should be. Its value is never told.
    #[error("its `{member}` is not {expected}")]
    Member {
        /// The member.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// A login.
#[derive(Clone, PartialEq)]
pub struct Credentials {
    login: Map<String, Value>,
    expires: Millis,
    ends: Option<Millis>,
    fingerprint: String,
}

/// What is secret of it does not reach a log by accident.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} until {})", self.fingerprint, self.expires)
    }
}

impl Credentials {
    /// Reads a file.
    pub fn parse(content: &[u8]) -> Result<Self, Malformed> {
        let login = match object(content)?.remove(LOGIN) {
            Some(Value::Object(login)) if !login.is_empty() => login,
            None | Some(Value::Null | Value::Object(_)) => return Err(Malformed::NoLogin),
            Some(_) => return Err(Malformed::Member { member: LOGIN, expected: "an object" }),
        };
        Self::of(login)
    }

    fn of(login: Map<String, Value>) -> Result<Self, Malformed> {
        token(&login, "accessToken")?;
        let refresh = token(&login, "refreshToken")?;
        let fingerprint = fingerprint(refresh);
        let time = |member: &'static str| match login.get(member) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|time| TIMES.contains(time)) {
                Some(time) => Ok(Some(Millis(time))),
                None => Err(Malformed::Member { member, expected: "a time in milliseconds since 1970" }),
            },
        };
        let missing = Malformed::Member { member: "expiresAt", expected: "there" };
        let (expires, ends) = (time("expiresAt")?.ok_or(missing)?, time("refreshTokenExpiresAt")?);
        if !login.iter().all(|(key, value)| is_tame(key) && is_harmless(value, MAX_DEPTH)) {
            return Err(Malformed::Member { member: LOGIN, expected: "free of control characters" });
        }
        Ok(Self { login, expires, ends, fingerprint })
    }

    /// Returns what a file has to be to have this login, and otherwise be as it was.
    pub fn put_into(&self, file: Option<&[u8]>) -> Result<Vec<u8>, Malformed> {
        let mut members = match file {
            Some(content) if !content.is_empty() => object(content)?,
            _ => Map::new(),
        };
        members.insert(LOGIN.to_owned(), Value::Object(self.login.clone()));
        let content = Value::Object(members).to_string().into_bytes();
        if content.len() > MAX_BYTES { Err(Malformed::TooLarge) } else { Ok(content) }
    }

    /// Returns when its access token has to be renewed.
    pub fn expires(&self) -> Millis {
        self.expires
    }

    /// Returns when it cannot be renewed any more, where that is known.
    pub fn ends(&self) -> Option<Millis> {
        self.ends
    }

    /// Returns by what it is told from others without telling anything of it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Tells whether it was renewed after the other one. Of two that expire at the same time neither was.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.expires > other.expires
    }

    /// Tells whether it cannot be renewed any more.
    pub fn has_ended(&self, now: Millis) -> bool {
        self.ends.is_some_and(|end| end <= now)
    }

    /// Tells whether it cannot be renewed for much longer.
    pub fn ends_soon(&self, now: Millis) -> bool {
        self.ends.is_some_and(|end| end > now && end <= now.plus(AHEAD))
    }
}

/// Returns the beginning of a secret's SHA-256, by which it is told from others.
pub fn fingerprint(secret: &str) -> String {
    Sha256::digest(secret).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn object(content: &[u8]) -> Result<Map<String, Value>, Malformed> {
    if content.len() > MAX_BYTES {
        return Err(Malformed::TooLarge);
    }
    match serde_json::from_slice(content) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(Malformed::NotJson),
    }
}

/// Returns a token: printable ASCII without blanks, so that it can stand in a header and in a line.
fn token<'a>(login: &'a Map<String, Value>, member: &'static str) -> Result<&'a str, Malformed> {
    let text = login.get(member).and_then(Value::as_str).unwrap_or_default();
    let is_token = TOKEN.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_token { Ok(text) } else { Err(Malformed::Member { member, expected: "a token" }) }
}

fn is_tame(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn is_harmless(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => is_tame(text),
        Value::Array(values) => depth > 0 && values.iter().all(|value| is_harmless(value, depth - 1)),
        Value::Object(members) => {
            depth > 0 && members.iter().all(|(key, value)| is_tame(key) && is_harmless(value, depth - 1))
        }
    }
}

impl serde::Serialize for Credentials {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.login.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Credentials {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(Map::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
