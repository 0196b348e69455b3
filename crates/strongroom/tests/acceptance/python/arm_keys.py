"""Keys through the management plane with the official package for it.

    arm_keys.py GROUP HSM

Makes a key that is not there, makes it again, shows it, its versions and the list, and prints what came back as JSON; or
{"refused": CODE}. The token is in ARM_TOKEN, the rest in `client.env`.
"""

import json
import os
import sys

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.keyvault.models import (
    ManagedHsmKeyAttributes,
    ManagedHsmKeyCreateParameters,
    ManagedHsmKeyProperties,
)


class Given:
    """A credential that was fetched before."""

    def get_token(self, *scopes, **kwargs):
        return AccessToken(os.environ["ARM_TOKEN"], 2**31)


def shown(key):
    return {
        "name": key.name,
        "type": key.type,
        "tags": key.tags,
        "kty": key.properties.kty,
        "keyUriWithVersion": key.properties.key_uri_with_version,
    }


def main(group, hsm):
    management = os.environ["STRONGROOM_MANAGEMENT_URL"]
    client = KeyVaultManagementClient(
        Given(),
        os.environ["STRONGROOM_SUBSCRIPTION_ID"],
        base_url=management,
        credential_scopes=[f"{management}/.default"],
    )
    keys = client.managed_hsm_keys
    wanted = ManagedHsmKeyCreateParameters(
        tags={"made": "by ARM"},
        properties=ManagedHsmKeyProperties(
            kty="RSA-HSM", key_size=2048, key_ops=["sign", "verify"], attributes=ManagedHsmKeyAttributes(enabled=True)
        ),
    )
    made = keys.create_if_not_exist(group, hsm, "through-arm", wanted)
    again = keys.create_if_not_exist(group, hsm, "through-arm", wanted)
    versions = list(keys.list_versions(group, hsm, "through-arm"))
    version = keys.get_version(group, hsm, "through-arm", versions[0].name)
    return {
        "made": shown(made),
        "again": shown(again),
        "shown": shown(keys.get(group, hsm, "through-arm")),
        "listed": [key.name for key in keys.list(group, hsm)],
        "versions": [one.name for one in versions],
        "version": shown(version),
    }


if __name__ == "__main__":
    try:
        result = main(*sys.argv[1:])
    except HttpResponseError as error:
        result = {"refused": error.error.code if error.error else error.status_code}
    print(json.dumps(result))
