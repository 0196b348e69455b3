//! Applications and service principals: here both are one object, with one id.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use strongroom_core::identity::record::{Principal, PrincipalKind};
use strongroom_core::identity::{CertificateChange, PrincipalChange};
use uuid::Uuid;

use super::credentials::{KeyCredential, kept_certificates, new_certificates};
use super::error::GraphError;
use super::users::state;
use super::wire::Shape;
use super::{Call, body, nothing_else};
use crate::http::exchange::{Outbound, empty, json as json_answer};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateApplication {
    display_name: String,
    #[serde(default)]
    key_credentials: Vec<KeyCredential>,
    sign_in_audience: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateApplication {
    display_name: Option<String>,
    account_enabled: Option<bool>,
    key_credentials: Option<Vec<KeyCredential>>,
    sign_in_audience: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateServicePrincipal {
    app_id: String,
    account_enabled: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Call<'_> {
    pub(super) async fn list_applications(&self) -> Result<Outbound, GraphError> {
        self.list_of(Shape::Application, is_application).await
    }

    pub(super) async fn list_service_principals(&self) -> Result<Outbound, GraphError> {
        self.list_of(Shape::ServicePrincipal, |found| found.client_id().is_some()).await
    }

    pub(super) async fn create_application(&self) -> Result<Outbound, GraphError> {
        let CreateApplication { display_name, key_credentials, sign_in_audience, rest } = body(self.inbound)?;
        nothing_else(&rest)?;
        own_tenant_only(sign_in_audience.as_deref())?;
        let certificates = new_certificates(&key_credentials)?;
        let ids = self.directory.create_certified_program(self.request, &display_name, certificates).await?;
        let made = self.directory.program(ids.client_id).await?;
        Ok(json_answer(StatusCode::CREATED, &self.show(&made, Shape::Application)))
    }

    pub(super) async fn get_application(&self) -> Result<Outbound, GraphError> {
        Ok(json_answer(StatusCode::OK, &self.show(&self.application().await?, Shape::Application)))
    }

    /// Changes what is given. Key credentials replace all there are; those without a key must be there already.
    pub(super) async fn update_application(&self) -> Result<Outbound, GraphError> {
        let UpdateApplication { display_name, account_enabled, key_credentials, sign_in_audience, rest } =
            body(self.inbound)?;
        nothing_else(&rest)?;
        own_tenant_only(sign_in_audience.as_deref())?;
        let application = self.application().await?;
        let certificates = match key_credentials {
            None => None,
            Some(credentials) => Some(CertificateChange {
                kept: kept_certificates(&application, &credentials)?,
                new: new_certificates(&credentials)?,
            }),
        };
        let change = PrincipalChange { display_name, state: account_enabled.map(state), certificates };
        self.directory.update(self.request, application.object_id, &change).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn delete_application(&self) -> Result<Outbound, GraphError> {
        let application = self.application().await?;
        self.directory.remove(self.request, application.object_id).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// Each application has its service principal from the beginning, so this one finds it.
    pub(super) async fn create_service_principal(&self) -> Result<Outbound, GraphError> {
        let CreateServicePrincipal { app_id, account_enabled, rest } = body(self.inbound)?;
        nothing_else(&rest)?;
        if account_enabled == Some(false) {
            return Err(GraphError::bad_request("accountEnabled: disable the service principal once it is there."));
        }
        let found = match app_id.to_ascii_lowercase().parse::<Uuid>() {
            Ok(client_id) => self.directory.by_client_id(client_id).await?,
            Err(_) => None,
        };
        let found = found.map(|stored| stored.value).filter(is_application);
        let found = found.ok_or_else(|| GraphError::not_found(&app_id))?;
        Ok(json_answer(StatusCode::CREATED, &self.show(&found, Shape::ServicePrincipal)))
    }

    pub(super) async fn get_service_principal(&self) -> Result<Outbound, GraphError> {
        let found = self.principal(|found| found.client_id().is_some()).await?;
        Ok(json_answer(StatusCode::OK, &self.show(&found, Shape::ServicePrincipal)))
    }

    /// The application that the path names. A managed identity is none: Azure Resource Manager holds it.
    pub(super) async fn application(&self) -> Result<Principal, GraphError> {
        self.principal(is_application).await
    }
}

fn is_application(principal: &Principal) -> bool {
    matches!(principal.kind, PrincipalKind::ServicePrincipal(_))
}

fn own_tenant_only(sign_in_audience: Option<&str>) -> Result<(), GraphError> {
    match sign_in_audience {
        None | Some("AzureADMyOrg") => Ok(()),
        Some(_) => Err(GraphError::bad_request("signInAudience: only AzureADMyOrg is supported.")),
    }
}
