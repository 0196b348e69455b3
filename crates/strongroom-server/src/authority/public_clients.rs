//! Programs people sign in to: they have no secret, so the device page shows the name that belongs to the client id.

use uuid::{Uuid, uuid};

/// A program without a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PublicClient {
    pub(super) client_id: Uuid,
    pub(super) name: &'static str,
}

/// The program with this client id.
pub(super) fn find(client_id: &str) -> Option<&'static PublicClient> {
    let client_id: Uuid = client_id.parse().ok()?;
    PUBLIC_CLIENTS.iter().find(|client| client.client_id == client_id)
}

/// The ids that clients have compiled in.
const PUBLIC_CLIENTS: &[PublicClient] = &[
    PublicClient { client_id: uuid!("04b07795-8ddb-461a-bbee-02f9e1bf7b46"), name: "Azure CLI" },
    PublicClient { client_id: uuid!("1950a258-227b-4e31-a9cf-717495945fc2"), name: "Azure PowerShell" },
    PublicClient { client_id: uuid!("aebc6443-996d-45c2-90f0-388ff96faa56"), name: "Visual Studio Code" },
    PublicClient { client_id: uuid!("872cd9fa-d31f-45e0-9eab-6e460a02d1f1"), name: "Visual Studio" },
];
