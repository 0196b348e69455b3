//! Scopes of the management plane, and the names they are made of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strongroom_types::ParseError;
use uuid::Uuid;

use crate::pools::{Error, Result};

/// A scope: a subscription, a resource group or a resource (management-plane.md §1).
///
/// Rights are inherited downwards: a scope covers itself and everything below it. Compared without case, printed as
/// it was written.
#[derive(Debug, Clone)]
pub struct ResourceScope {
    text: String,
    folded: Vec<String>,
}

impl ResourceScope {
    /// Longest scope, in bytes.
    pub const LENGTH_MAX: usize = 1024;

    /// A whole subscription.
    pub fn subscription(id: Uuid) -> Self {
        Self { text: String::new(), folded: Vec::new() }.child("subscriptions", &id.to_string())
    }

    /// A resource group of a subscription.
    pub fn group(subscription: Uuid, group: &GroupName) -> Self {
        Self::subscription(subscription).child("resourceGroups", group.as_str())
    }

    /// A resource of a provider in this scope, such as (`Microsoft.KeyVault`, `managedHSMs`, name).
    pub fn resource(&self, namespace: &str, resource_type: &str, name: &str) -> Self {
        self.child("providers", namespace).child(resource_type, name)
    }

    /// Something that belongs to a resource, such as (`privateEndpointConnections`, name).
    pub fn child(&self, resource_type: &str, name: &str) -> Self {
        let mut folded = self.folded.clone();
        folded.extend([resource_type.to_ascii_lowercase(), name.to_ascii_lowercase()]);
        Self { text: format!("{}/{resource_type}/{name}", self.text), folded }
    }

    /// The scope as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what is assigned here holds there.
    pub fn covers(&self, other: &Self) -> bool {
        other.folded.starts_with(&self.folded)
    }

    /// What of it lies below another scope, in lower case; `None` if it does not lie there.
    pub(crate) fn below(&self, other: &Self) -> Option<&[String]> {
        self.folded.strip_prefix(other.folded.as_slice())
    }

    /// The key of a vault that it is, or lies below.
    pub(crate) fn vault_key(&self) -> Option<Self> {
        let mut segments = self.text.split('/').skip(1);
        let key: Vec<_> = segments.by_ref().take(VAULT_KEY_SEGMENTS).collect();
        let [_, _, _, _, _, namespace, vaults, _, keys, _] = key.as_slice() else { return None };
        let is = |word: &str, expected: &str| word.eq_ignore_ascii_case(expected);
        (is(namespace, "Microsoft.KeyVault") && is(vaults, "vaults") && is(keys, "keys"))
            .then(|| format!("/{}", key.join("/")).parse().ok())
            .flatten()
    }

    /// The subscription it lies in.
    pub fn subscription_id(&self) -> Option<Uuid> {
        self.folded.get(1).and_then(|id| Uuid::try_parse(id).ok())
    }

    /// The resource group it lies in or is, as written; `None` for what lies in the subscription itself.
    pub fn group_name(&self) -> Option<GroupName> {
        let mut segments = self.text.split('/').skip(3);
        let is_group = segments.next()?.eq_ignore_ascii_case("resourceGroups");
        segments.next().filter(|_| is_group)?.parse().ok()
    }
}

impl FromStr for ResourceScope {
    type Err = ParseError;

    /// Only whole scopes: `/subscriptions/{guid}`, then maybe `/resourceGroups/{name}`, then maybe
    /// `/providers/{namespace}` with pairs of type and name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseError::new("scope", "the id of a subscription, a resource group or a resource");
        let text = text.trim_end_matches('/');
        let mut segments = text.strip_prefix('/').ok_or_else(error)?.split('/').peekable();
        let well_formed = |segment: &str| !segment.is_empty() && !segment.contains(char::is_control);
        if text.len() > Self::LENGTH_MAX || !segments.clone().all(well_formed) {
            return Err(error());
        }
        let folded: Vec<String> = segments.clone().map(str::to_ascii_lowercase).collect();
        let subscription = segments.next().zip(segments.next()).filter(|(word, id)| {
            word.eq_ignore_ascii_case("subscriptions") && id.len() == 36 && Uuid::try_parse(id).is_ok()
        });
        subscription.ok_or_else(error)?;
        if segments.next_if(|word| word.eq_ignore_ascii_case("resourceGroups")).is_some() {
            segments.next().ok_or_else(error)?.parse::<GroupName>()?;
        }
        if let Some(word) = segments.next() {
            let rest = segments.count();
            // The namespace, and at least one pair of type and name.
            if !word.eq_ignore_ascii_case("providers") || rest < 3 || rest % 2 == 0 {
                return Err(error());
            }
        }
        Ok(Self { text: text.to_owned(), folded })
    }
}

impl PartialEq for ResourceScope {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}
impl Eq for ResourceScope {}

impl fmt::Display for ResourceScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for ResourceScope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ResourceScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! resource_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// What a valid name looks like.
            pub const EXPECTED: &'static str = $expected;

            /// The name as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The one form in which names are compared and stored: ASCII lower case.
            pub fn folded(&self) -> String {
                self.0.to_ascii_lowercase()
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(ParseError::new($what, $expected)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

resource_name!(
    /// The name of a resource group. Azure also takes letters beyond ASCII; we do not.
    GroupName,
    "resource group name",
    "1 to 90 characters a-z, A-Z, 0-9, -, _, (, ) and full stop, not ending with a full stop",
    |text| {
        (1..=90).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_().".contains(&byte))
            && !text.ends_with('.')
    }
);

resource_name!(
    /// The name of a user-assigned identity.
    IdentityName,
    "identity name",
    "3 to 128 characters a-z, A-Z, 0-9, - and _, beginning with a letter or a digit",
    |text| {
        (3..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
    }
);

resource_name!(
    /// The name of a storage account; names are global.
    StorageAccountName,
    "storage account name",
    "3 to 24 small letters and digits",
    |text| {
        (3..=24).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    }
);

resource_name!(
    /// The name of a region, as written. It means nothing here.
    Location,
    "location",
    "1 to 64 characters a-z, A-Z, 0-9, space and -, beginning with a letter or a digit",
    |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -".contains(&byte))
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
    }
);

resource_name!(
    /// The name of a virtual network, a subnet or a private endpoint.
    NetworkName,
    "network name",
    "1 to 80 characters a-z, A-Z, 0-9, -, _ and full stop, beginning with a letter or a digit and ending with one or with _",
    |text| {
        (1..=80).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.ends_with(|last: char| last.is_ascii_alphanumeric() || last == '_')
    }
);

impl Location {
    /// The form that URLs hold and locations are compared in: `West Europe` and `westeurope` are one.
    pub fn normalized(&self) -> String {
        self.folded().replace(' ', "")
    }

    /// Checks that a resource which is at `existing` is not asked to be here, if this is elsewhere.
    ///
    /// # Errors
    /// [`Error::LocationDiffers`].
    pub(in crate::pools) fn check_unchanged(
        &self,
        existing: &str,
        name: &impl ToString,
        group: &impl ToString,
    ) -> Result<()> {
        let here: Option<Self> = existing.parse().ok();
        if here.is_some_and(|here| here.normalized() == self.normalized()) {
            return Ok(());
        }
        Err(Error::LocationDiffers {
            name: name.to_string(),
            group: group.to_string(),
            existing: existing.to_owned(),
            asked: self.to_string(),
        })
    }
}

/// Segments of `/subscriptions/…/resourceGroups/…/providers/Microsoft.KeyVault/vaults/…/keys/…`.
const VAULT_KEY_SEGMENTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const S: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";

    fn scope(text: &str) -> ResourceScope {
        text.parse().unwrap()
    }

    #[test]
    fn a_scope_covers_itself_and_what_lies_below_without_case() {
        let subscription = scope(S);
        let group = scope(&format!("{S}/resourceGroups/Alpha"));
        let resource = scope(&format!("{S}/RESOURCEGROUPS/ALPHA/providers/Microsoft.KeyVault/managedHSMs/one"));
        assert!(subscription.covers(&group) && group.covers(&resource) && resource.covers(&resource));
        assert!(!group.covers(&subscription) && !resource.covers(&group));
    }

    #[test]
    fn a_name_that_begins_like_another_is_not_covered() {
        let one = scope(&format!("{S}/resourceGroups/alpha"));
        assert!(!one.covers(&scope(&format!("{S}/resourceGroups/alpha2"))));
        assert!(!one.covers(&scope("/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/alpha")));
    }

    #[test]
    fn half_scopes_are_refused() {
        let cases = [
            "",
            "/",
            "subscriptions",
            "/subscriptions",
            "/subscriptions/x",
            &format!("{S}/resourceGroups"),
            &format!("{S}/resourceGroups/a/x"),
            &format!("{S}/providers"),
            &format!("{S}/providers/Microsoft.KeyVault"),
            &format!("{S}/resourceGroups/a/providers/Microsoft.KeyVault/managedHSMs"),
            &format!("{S}//resourceGroups/a"),
            &format!("{S}/resourceGroups/a/providers/N/t/n/u"),
            &format!("{S}/{}", "a".repeat(1100)),
        ];
        for text in cases {
            assert!(text.parse::<ResourceScope>().is_err(), "{text}");
        }
    }

    #[test]
    fn built_and_parsed_scopes_are_the_same() {
        let id = Uuid::from_u128(1);
        let group: GroupName = "Alpha".parse().unwrap();
        let built = ResourceScope::group(id, &group).resource("Microsoft.KeyVault", "managedHSMs", "one");
        assert_eq!(built, scope(built.as_str()));
        assert_eq!(built.subscription_id(), Some(id));
        assert_eq!(built.group_name(), Some(group));
        assert_eq!(ResourceScope::subscription(id).group_name(), None);
    }

    #[test]
    fn a_key_of_a_vault_is_told_from_other_resources() {
        let vault = format!("{S}/resourceGroups/a/providers/Microsoft.KeyVault/vaults/v");
        let key = scope(&format!("{vault}/keys/K"));
        assert_eq!(key.vault_key(), Some(key.clone()));
        assert_eq!(scope(&format!("{vault}/keys/k/versions/1")).vault_key(), Some(key.clone()));
        assert_eq!(scope(&vault).vault_key(), None);
        assert_eq!(scope(&format!("{vault}/secrets/k")).vault_key(), None);
        assert_eq!(key.below(&scope(&vault)), Some(["keys".to_owned(), "k".to_owned()].as_slice()));
        assert_eq!(scope(&format!("{vault}2/keys/k")).below(&scope(&vault)), None);
    }

    #[test]
    fn names_keep_to_their_characters() {
        assert!("a.b_(c)-1".parse::<GroupName>().is_ok());
        for text in ["", "a.", "a b", "a/b", "ä", &"a".repeat(91)] {
            assert!(text.parse::<GroupName>().is_err(), "{text}");
        }
        assert!("id-1".parse::<IdentityName>().is_ok() && "-id".parse::<IdentityName>().is_err());
        assert_eq!("West Europe".parse::<Location>().unwrap().normalized(), "westeurope");
    }
}
