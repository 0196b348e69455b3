//! `$filter`: comparisons of one property with one text each, joined by `and` (OData 4.01 §5.1.1).

use strongroom_core::identity::record::{Principal, PrincipalKind};

use super::error::GraphError;
use crate::http::exchange::Inbound;
use crate::http::odata::literal;

/// What a list is to show; everything if it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filter(Vec<Comparison>);

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison {
    property: Property,
    relation: Relation,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property {
    Id,
    DisplayName,
    AppId,
    UserPrincipalName,
    MailNickname,
    /// Here nothing has any.
    IdentifierUri,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equals,
    StartsWith,
}

impl Filter {
    /// Reads the filter of a request.
    pub(super) fn read(inbound: &Inbound) -> Result<Self, GraphError> {
        match inbound.query_parameter("$filter").filter(|text| !text.trim().is_empty()) {
            None => Ok(Self::default()),
            Some(text) => Self::parse(&text).ok_or_else(|| {
                GraphError::bad_request(
                    "$filter: only comparisons of names with eq and startswith, joined by and, are supported.",
                )
            }),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (mut rest, mut comparisons) = (text.trim(), Vec::new());
        loop {
            let (comparison, behind) = comparison(rest)?;
            comparisons.push(comparison);
            if behind.trim_start().is_empty() {
                return Some(Self(comparisons));
            }
            if comparisons.len() >= COMPARISONS_MAX {
                return None;
            }
            rest = behind.strip_prefix(' ')?.trim_start().strip_prefix("and ")?.trim_start();
        }
    }

    /// The client id that everything it shows must have.
    pub(super) fn client_id(&self) -> Option<&str> {
        self.exact(Property::AppId)
    }

    /// The user name that everything it shows must have.
    pub(super) fn user_principal_name(&self) -> Option<&str> {
        self.exact(Property::UserPrincipalName)
    }

    /// Whether it shows a principal.
    pub(super) fn shows(&self, principal: &Principal) -> bool {
        self.0.iter().all(|comparison| comparison.fits(principal))
    }

    fn exact(&self, property: Property) -> Option<&str> {
        let fits = |known: &&Comparison| known.property == property && known.relation == Relation::Equals;
        self.0.iter().find(fits).map(|comparison| comparison.text.as_str())
    }
}

impl Comparison {
    /// As Graph does, without case.
    fn fits(&self, principal: &Principal) -> bool {
        let value = match (self.property, &principal.kind) {
            (Property::Id, _) => Some(principal.object_id.to_string()),
            (Property::DisplayName, _) => Some(principal.display_name.clone()),
            (Property::AppId, _) => principal.client_id().map(|id| id.to_string()),
            (Property::UserPrincipalName, PrincipalKind::User(user)) => Some(user.user_principal_name.clone()),
            (Property::MailNickname, PrincipalKind::Group(group)) => group.mail_nickname.clone(),
            (Property::UserPrincipalName | Property::MailNickname | Property::IdentifierUri, _) => None,
        };
        let (Some(value), wanted) = (value.map(|value| value.to_lowercase()), self.text.to_lowercase()) else {
            return false;
        };
        match self.relation {
            Relation::Equals => value == wanted,
            Relation::StartsWith => value.starts_with(&wanted),
        }
    }
}

/// The first comparison of a text, and what follows it.
fn comparison(text: &str) -> Option<(Comparison, &str)> {
    for (prefix, property) in [
        ("servicePrincipalNames/any(c:c eq ", Property::AppId),
        ("identifierUris/any(s:s eq ", Property::IdentifierUri),
    ] {
        if let Some(rest) = text.strip_prefix(prefix) {
            let (text, rest) = literal(rest)?;
            return Some((Comparison { property, relation: Relation::Equals, text }, rest.strip_prefix(')')?));
        }
    }
    if let Some(rest) = text.strip_prefix("startswith(") {
        let (name, rest) = rest.split_once(',')?;
        let (text, rest) = literal(rest.trim_start())?;
        let comparison = Comparison { property: property(name.trim())?, relation: Relation::StartsWith, text };
        return Some((comparison, rest.trim_start().strip_prefix(')')?));
    }
    let (name, rest) = text.split_once(' ')?;
    let (text, rest) = literal(rest.trim_start().strip_prefix("eq ")?.trim_start())?;
    Some((Comparison { property: property(name)?, relation: Relation::Equals, text }, rest))
}

fn property(name: &str) -> Option<Property> {
    Some(match name {
        "id" => Property::Id,
        "displayName" => Property::DisplayName,
        "appId" => Property::AppId,
        "userPrincipalName" => Property::UserPrincipalName,
        "mailNickname" => Property::MailNickname,
        _ => return None,
    })
}

/// Most comparisons of a filter.
const COMPARISONS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_is_understood() {
        for (text, property, relation, expected) in [
            ("appId eq 'a'", Property::AppId, Relation::Equals, "a"),
            ("servicePrincipalNames/any(c:c eq 'a')", Property::AppId, Relation::Equals, "a"),
            (
                "startswith(displayName,'O''Brien, and sons')",
                Property::DisplayName,
                Relation::StartsWith,
                "O'Brien, and sons",
            ),
            ("userPrincipalName eq 'a@b'", Property::UserPrincipalName, Relation::Equals, "a@b"),
            ("identifierUris/any(s:s eq 'x')", Property::IdentifierUri, Relation::Equals, "x"),
        ] {
            let Filter(comparisons) = Filter::parse(text).unwrap();
            assert_eq!(comparisons, [Comparison { property, relation, text: expected.to_owned() }], "{text}");
        }
        let both = Filter::parse("displayName eq 'a and b' and mailNickname eq 'c'").unwrap();
        assert_eq!(both.0.len(), 2);
    }

    #[test]
    fn anything_else_is_none() {
        let many = ["id eq 'a'"; COMPARISONS_MAX + 1].join(" and ");
        for text in [
            "displayName eq a",
            "displayName eq 'a",
            "displayName ne 'a'",
            "accountEnabled eq 'true'",
            "displayName eq 'a' or displayName eq 'b'",
            "displayName eq 'a' and ",
            "displayName eq 'a'and id eq 'b'",
            "startswith(displayName,'a'",
            "not(displayName eq 'a')",
            &many,
        ] {
            assert_eq!(Filter::parse(text), None, "{text}");
        }
    }
}
