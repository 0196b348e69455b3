"""The ways to sign in, by name. Everything about the deployment comes from `client.env`."""

import os

from azure.identity import (
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)


def private_authority():
    """What a credential must be told of an authority that is not Entra ID's."""
    return {"authority": os.environ["STRONGROOM_AUTHORITY_URL"], "disable_instance_discovery": True}


def secret():
    return ClientSecretCredential(
        os.environ["STRONGROOM_TENANT_ID"],
        os.environ["STRONGROOM_CLIENT_ID"],
        os.environ["STRONGROOM_CLIENT_SECRET"],
        **private_authority(),
    )


def workload():
    return WorkloadIdentityCredential(
        tenant_id=os.environ["STRONGROOM_TENANT_ID"],
        client_id=os.environ["WORKLOAD_CLIENT_ID"],
        token_file_path=os.environ["WORKLOAD_TOKEN_FILE"],
        **private_authority(),
    )


CREDENTIALS = {
    "default": DefaultAzureCredential,
    "managed": ManagedIdentityCredential,
    "secret": secret,
    "workload": workload,
}
