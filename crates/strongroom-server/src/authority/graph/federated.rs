//! Federated credentials of applications.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use strongroom_core::identity::FederatedSpecification;
use strongroom_core::identity::record::{FederatedCredential, Principal};

use super::error::GraphError;
use super::wire::list;
use super::{Call, body, nothing_else};
use crate::http::exchange::{Outbound, empty, json as json_answer};

/// What a client says about one; a change leaves out what stays.
#[derive(Deserialize)]
struct Body {
    name: Option<String>,
    issuer: Option<String>,
    subject: Option<String>,
    audiences: Option<Vec<String>>,
    description: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Call<'_> {
    pub(super) async fn list_federated(&self) -> Result<Outbound, GraphError> {
        Ok(list(self.application().await?.federated().iter().map(show).collect()))
    }

    pub(super) async fn create_federated(&self) -> Result<Outbound, GraphError> {
        let Body { name, issuer, subject, audiences, description, rest } = body(self.inbound)?;
        nothing_else(&rest)?;
        let text = Option::unwrap_or_default;
        let specification =
            FederatedSpecification::new(&text(name), &text(issuer), &text(subject), &audiences.unwrap_or_default())?;
        let application = self.application().await?;
        if application.federated().iter().any(|known| known.is_named(specification.name())) {
            return Err(GraphError::NameTaken("name"));
        }
        let specification = specification.described(description)?;
        let written = self.directory.put_federated(self.request, application.object_id, &specification).await?;
        Ok(json_answer(StatusCode::CREATED, &show(&written.credential)))
    }

    pub(super) async fn get_federated(&self) -> Result<Outbound, GraphError> {
        Ok(json_answer(StatusCode::OK, &show(&self.federated().await?.1)))
    }

    pub(super) async fn update_federated(&self) -> Result<Outbound, GraphError> {
        let Body { name, issuer, subject, audiences, description, rest } = body(self.inbound)?;
        nothing_else(&rest)?;
        let (application, known) = self.federated().await?;
        if name.is_some_and(|name| !known.is_named(&name)) {
            return Err(GraphError::bad_request("name: it cannot be changed."));
        }
        let audiences = audiences.unwrap_or_else(|| vec![known.audience.clone()]);
        let (issuer, subject) = (issuer.unwrap_or(known.issuer), subject.unwrap_or(known.subject));
        let specification = FederatedSpecification::new(&known.name, &issuer, &subject, &audiences)?;
        let specification = specification.described(description.or(known.description))?;
        self.directory.put_federated(self.request, application.object_id, &specification).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn delete_federated(&self) -> Result<Outbound, GraphError> {
        let (application, known) = self.federated().await?;
        self.directory.remove_federated(self.request, application.object_id, &known.id.to_string()).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// The credential that the path names by its id or its name.
    async fn federated(&self) -> Result<(Principal, FederatedCredential), GraphError> {
        let application = self.application().await?;
        let key = self.text("federated");
        let found = application.federated().iter().find(|known| known.is_called(key)).cloned();
        let found = found.ok_or_else(|| GraphError::not_found(key))?;
        Ok((application, found))
    }
}

fn show(credential: &FederatedCredential) -> Value {
    let FederatedCredential { id, name, issuer, subject, audience, description } = credential;
    json!({
        "id": id, "name": name, "issuer": issuer, "subject": subject, "audiences": [audience],
        "description": description,
    })
}
