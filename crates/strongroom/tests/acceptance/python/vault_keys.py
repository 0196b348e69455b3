"""Keys of a vault with a bare DefaultAzureCredential, and the checks of the SDK left on.

Called with the URL of a Standard vault. Prints one JSON object that the test compares.
"""

import hashlib
import json
import sys

from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import KeyWrapAlgorithm, SignatureAlgorithm

from keys import signs, wraps


def hsm_types(keys):
    """A Standard vault takes none."""
    try:
        keys.create_rsa_key("python-hsm-type", size=2048, hardware_protected=True)
    except HttpResponseError as error:
        return "refused" if error.status_code == 400 else str(error)
    return "taken"


def main():
    url = sys.argv[1]
    credential = DefaultAzureCredential()
    keys = KeyClient(url, credential)
    digest = hashlib.sha256(b"strongroom").digest()
    rsa = keys.create_rsa_key("python-rsa", size=2048)
    ec = keys.create_ec_key("python-ec", curve="P-256")
    result = {
        "kid_host": rsa.id.split("/")[2],
        "types": [ec.key_type, rsa.key_type],
        "hsm_platform": rsa.properties.hsm_platform,
        "rsa_signs": signs(credential, rsa, SignatureAlgorithm.ps256, digest),
        "ec_signs": signs(credential, ec, SignatureAlgorithm.es256, digest),
        "rsa_wraps": wraps(credential, rsa, KeyWrapAlgorithm.rsa_oaep_256),
        "names": sorted(item.name for item in keys.list_properties_of_keys()),
        "hsm_types": hsm_types(keys),
    }
    deleted = keys.begin_delete_key("python-ec").result()
    result["deleted"] = deleted.recovery_id is not None
    keys.begin_recover_deleted_key("python-ec").wait()
    result["recovered"] = keys.get_key("python-ec").id == ec.id
    print(json.dumps(result))


if __name__ == "__main__":
    main()
