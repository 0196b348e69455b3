"""The ways to sign in, by name. Everything about the deployment comes from `client.env`."""

import os

from azure.identity import (
    CertificateCredential,
    ClientAssertionCredential,
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


def certificate():
    return CertificateCredential(
        os.environ["STRONGROOM_TENANT_ID"],
        os.environ["CERTIFICATE_CLIENT_ID"],
        os.environ["CERTIFICATE_FILE"],
        **private_authority(),
    )


def assertion():
    def token():
        with open(os.environ["WORKLOAD_TOKEN_FILE"], encoding="ascii") as file:
            return file.read()

    return ClientAssertionCredential(
        os.environ["STRONGROOM_TENANT_ID"],
        os.environ["WORKLOAD_CLIENT_ID"],
        token,
        **private_authority(),
    )


CREDENTIALS = {
    "assertion": assertion,
    "certificate": certificate,
    "default": DefaultAzureCredential,
    "managed": ManagedIdentityCredential,
    "secret": secret,
    # By the variables of the platform: AZURE_FEDERATED_TOKEN_FILE and the others.
    "workload": WorkloadIdentityCredential,
}
