//! From what a person types to an object of the directory.

use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use super::{Graph, segment};
use crate::connection::{Connection, text};

/// The items of a list, page after page.
pub(crate) async fn pages(connection: &Connection, url: &str, token: &str, next_link: &str) -> Result<Vec<Value>> {
    let (mut items, mut url) = (Vec::new(), url.to_owned());
    for _ in 0..PAGES_MAX {
        let page = connection.json(Method::GET, &url, token, None).await?;
        items.extend(page.pointer("/value").and_then(Value::as_array).into_iter().flatten().cloned());
        match page.pointer(next_link).and_then(Value::as_str).filter(|next| !next.is_empty()) {
            // A link to somewhere else would get our token.
            Some(next) if origin(next) == origin(&url) => next.clone_into(&mut url),
            Some(_) => bail!("the list goes on at another host"),
            None => return Ok(items),
        }
    }
    bail!("the list is longer than {PAGES_MAX} pages")
}

fn origin(url: &str) -> &str {
    url.split('/').nth(2).unwrap_or_default()
}

impl Graph {
    /// All objects of a kind, such as `users`.
    pub(crate) async fn all(&self, kind: &str) -> Result<Vec<Value>> {
        let url = format!("{}/v1.0/{kind}?$top=999", self.url);
        pages(&self.connection, &url, &self.token, "/@odata.nextLink").await
    }

    /// A user, by name (with or without domain) or object id.
    pub(super) async fn user(&self, name: &str) -> Result<Value> {
        let key = if name.parse::<Uuid>().is_ok() { name.to_owned() } else { self.full_name(name)? };
        self.get(&format!("/users/{}", segment(&key))).await
    }

    /// A group, by name or object id.
    pub(super) async fn group(&self, name: &str) -> Result<Value> {
        if name.parse::<Uuid>().is_ok() {
            return self.get(&format!("/groups/{name}")).await;
        }
        self.only("groups", name).await
    }

    /// A service principal that is an application, by name, client id or object id.
    pub(super) async fn program(&self, name: &str) -> Result<Value> {
        if name.parse::<Uuid>().is_err() {
            return self.only("applications", name).await;
        }
        let found = self.filtered("applications", "appId", name).await?;
        match found.into_iter().next() {
            Some(found) => Ok(found),
            None => self.get(&format!("/applications/{name}")).await,
        }
    }

    /// The object id of a person, program or managed identity; the kinds are tried in this order.
    pub(super) async fn principal_id(&self, name: &str) -> Result<String> {
        if name.parse::<Uuid>().is_ok() {
            let found = self.filtered("servicePrincipals", "appId", name).await?;
            return found.first().map_or_else(|| Ok(name.to_owned()), |found| text(found, "/id"));
        }
        if let Ok(user) = self.user(name).await {
            return text(&user, "/id");
        }
        text(&self.only("servicePrincipals", name).await?, "/id")
    }

    /// The user name with the deployment's domain.
    pub(super) fn full_name(&self, name: &str) -> Result<String> {
        Ok(full_name(name, self.connection.environment.get("STRONGROOM_MHSM_SUFFIX")?))
    }

    /// The page on which people enter their codes.
    pub(super) fn device_page(&self) -> Result<String> {
        Ok(format!("{}/device", self.connection.environment.get("STRONGROOM_AUTHORITY_URL")?))
    }

    /// The tenant's id.
    pub(super) fn tenant(&self) -> Result<&str> {
        self.connection.environment.get("STRONGROOM_TENANT_ID")
    }

    /// The one object of a kind with a display name; two are told apart by their ids.
    async fn only(&self, kind: &str, name: &str) -> Result<Value> {
        let mut found = self.filtered(kind, "displayName", name).await?;
        match (found.pop(), found.len()) {
            (None, _) => bail!("nothing in {kind} is called {name}"),
            (Some(found), 0) => Ok(found),
            (Some(_), others) => bail!("{} in {kind} are called {name}: use the id", others + 1),
        }
    }

    async fn filtered(&self, kind: &str, property: &str, value: &str) -> Result<Vec<Value>> {
        let filter = segment(&format!("{property} eq '{}'", value.replace('\'', "''")));
        let url = format!("{}/v1.0/{kind}?$filter={filter}", self.url);
        pages(&self.connection, &url, &self.token, "/@odata.nextLink").await
    }
}

/// The name with the deployment's domain, which `suffix` (`.managedhsm.DOMAIN:PORT`) tells.
fn full_name(name: &str, suffix: &str) -> String {
    if name.contains('@') {
        return name.to_owned();
    }
    let domain = suffix.trim_start_matches(".managedhsm.").split(':').next().unwrap_or_default();
    format!("{name}@{domain}")
}

/// No list of a directory is longer.
const PAGES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::{full_name, origin};

    #[test]
    fn a_bare_name_gets_the_deployments_domain() {
        assert_eq!(full_name("alice", ".managedhsm.localhost:8443"), "alice@localhost");
        assert_eq!(full_name("alice@example.org", ".managedhsm.localhost:8443"), "alice@example.org");
    }

    #[test]
    fn the_next_page_is_on_the_same_host() {
        assert_eq!(origin("https://graph.localhost:8443/v1.0/users?x"), "graph.localhost:8443");
        assert_ne!(origin("https://graph.localhost:8443.example/v1.0"), "graph.localhost:8443");
    }
}
