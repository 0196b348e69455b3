"""Makes an exportable key, releases it, and reads its attestation, with a bare DefaultAzureCredential.

Called with the URL of an HSM, an attestation token and a release policy. Prints one JSON object that the test compares.
"""

import json
import sys

from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import KeyClient, KeyReleasePolicy


def main():
    url, target, policy = sys.argv[1:]
    keys = KeyClient(url, DefaultAzureCredential())
    release_policy = KeyReleasePolicy(policy.encode(), immutable=True)
    key = keys.create_rsa_key("released", hardware_protected=True, exportable=True, release_policy=release_policy)
    released = keys.release_key("released", target, version=key.properties.version)
    other = KeyReleasePolicy(policy.replace("good", "bad").encode())
    try:
        keys.update_key_properties("released", release_policy=other)
        refused = False
    except HttpResponseError as error:
        refused = error.status_code == 400
    print(
        json.dumps(
            {
                "released": released.value,
                "exportable": key.properties.exportable,
                "immutable_refused": refused,
                "attestation_version": keys.get_key_attestation("released").properties.attestation.version,
            }
        )
    )


main()
