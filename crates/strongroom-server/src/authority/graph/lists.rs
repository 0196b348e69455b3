//! Lists: by filter, page by page, and by ids.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strongroom_core::identity::record::Principal;
use strongroom_types::PrincipalId;

use super::error::GraphError;
use super::filter::Filter;
use super::wire::{Shape, list, object, type_name, typed_object};
use super::{Call, body};
use crate::http::exchange::{Outbound, json as json_answer};

#[derive(Deserialize)]
struct GetByIds {
    ids: Vec<String>,
    #[serde(default)]
    types: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CheckMemberGroups {
    group_ids: Vec<String>,
}

impl Call<'_> {
    pub(super) async fn get_by_ids(&self) -> Result<Outbound, GraphError> {
        let wanted: GetByIds = body(self.inbound)?;
        if wanted.ids.len() > IDS_MAX {
            return Err(GraphError::bad_request("ids: at most 1000."));
        }
        let ids: Vec<PrincipalId> = wanted.ids.iter().filter_map(|id| id.to_ascii_lowercase().parse().ok()).collect();
        let mut found = self.directory.principals(&ids).await?;
        found.retain(|principal| {
            let any = wanted.types.is_empty();
            let named = |name: &String| name.eq_ignore_ascii_case("directoryObject") || *name == type_name(principal);
            any || wanted.types.iter().any(named)
        });
        Ok(list(found.iter().map(typed_object).collect()))
    }

    pub(super) async fn me(&self) -> Result<Outbound, GraphError> {
        let found = self.directory.principal(self.request.caller.principal).await?;
        let found = found.ok_or_else(|| GraphError::not_found("me"))?;
        Ok(json_answer(StatusCode::OK, &typed_object(&found.value)))
    }

    pub(super) async fn check_member_groups(&self) -> Result<Outbound, GraphError> {
        let CheckMemberGroups { group_ids } = body(self.inbound)?;
        if group_ids.len() > GROUP_IDS_MAX {
            return Err(GraphError::bad_request("groupIds: at most 20."));
        }
        let principal = self.principal(|_| true).await?;
        let is_member = |id: &&String| id.to_ascii_lowercase().parse().is_ok_and(|id| principal.groups.contains(&id));
        Ok(list(group_ids.iter().filter(is_member).map(|id| Value::from(id.as_str())).collect()))
    }

    /// A list of principals of one kind. Only the administrator sees more than what a name or client id finds.
    pub(super) async fn list_of(
        &self,
        shape: Shape,
        is_kind: impl Fn(&Principal) -> bool,
    ) -> Result<Outbound, GraphError> {
        let filter = Filter::read(self.inbound)?;
        let exact = match (filter.client_id(), filter.user_principal_name()) {
            (Some(id), _) => Some(match id.to_ascii_lowercase().parse() {
                Ok(client_id) => self.directory.by_client_id(client_id).await?,
                Err(_) => None,
            }),
            (None, Some(name)) => Some(self.directory.by_user_principal_name(name).await?),
            (None, None) => None,
        };
        if let Some(found) = exact {
            let found = found.map(|stored| stored.value).filter(|found| is_kind(found) && filter.shows(found));
            return Ok(list(found.iter().map(|found| self.show(found, shape)).collect()));
        }
        if !self.is_administrator {
            return Err(GraphError::Denied);
        }
        self.page_of(shape, |found| is_kind(found) && filter.shows(found)).await
    }

    async fn page_of(&self, shape: Shape, shows: impl Fn(&Principal) -> bool) -> Result<Outbound, GraphError> {
        let bad = |what: &str| GraphError::BadRequest(format!("{what} is not valid."));
        let top = match self.inbound.query_parameter("$top") {
            None => PAGE,
            Some(text) => text.parse().ok().filter(|top| (1..=PAGE_MAX).contains(top)).ok_or_else(|| bad("$top"))?,
        };
        let mut after = match self.inbound.query_parameter("$skiptoken") {
            None => None,
            Some(text) => Some(text.parse::<PrincipalId>().map_err(|_| bad("$skiptoken"))?),
        };
        let (mut shown, mut looked_at, mut at_once) = (Vec::new(), 0, top);
        // A page may be short, or empty, and not be the last one: so that no filter costs more than it may.
        while shown.len() < top && looked_at < LOOKED_AT_MAX {
            let records = self.directory.principals_after(after, at_once).await?;
            // If these do not fill the page, many do not fit what is looked for: few at a time would be many reads.
            at_once = PAGE;
            if records.is_empty() {
                after = None;
                break;
            }
            looked_at += records.len();
            for found in records {
                after = Some(found.object_id);
                if shows(&found) {
                    shown.push(self.show(&found, shape));
                    if shown.len() == top {
                        break;
                    }
                }
            }
        }
        let Some(after) = after else { return Ok(list(shown)) };
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(filter) = self.inbound.query_parameter("$filter") {
            query.append_pair("$filter", &filter);
        }
        let query = query.append_pair("$top", &top.to_string()).append_pair("$skiptoken", &after.to_string()).finish();
        let next = format!("{}{}?{query}", self.inbound.base_url(), self.inbound.path());
        Ok(json_answer(StatusCode::OK, &json!({"value": shown, "@odata.nextLink": next})))
    }

    /// An object as this caller may see it.
    pub(super) fn show(&self, principal: &Principal, shape: Shape) -> Value {
        object(principal, if self.is_administrator { shape } else { Shape::Plain })
    }
}

/// As Graph limits `getByIds`.
const IDS_MAX: usize = 1000;
/// As Graph limits `checkMemberGroups`.
const GROUP_IDS_MAX: usize = 20;
/// Objects on a page if nobody says, and at most. Both as in Graph.
const PAGE: usize = 100;
const PAGE_MAX: usize = 999;
/// Records that one request looks at.
const LOOKED_AT_MAX: usize = 2000;
