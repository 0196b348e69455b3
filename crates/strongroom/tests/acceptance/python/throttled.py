"""Signs more often than the operator lets one key be used, with nothing set but what is the default of the SDK.

Called with the URL of an HSM. Prints one JSON object that the test compares.
"""

import hashlib
import json
import sys

from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm

SIGNATURES = 5


def main():
    credential = DefaultAzureCredential()
    key = KeyClient(sys.argv[1], credential).create_ec_key("busy", curve="P-256", hardware_protected=True)
    client = CryptographyClient(key, credential)
    digest = hashlib.sha256(b"strongroom").digest()
    signatures = [client.sign(SignatureAlgorithm.es256, digest).signature for _ in range(SIGNATURES)]
    print(json.dumps({"signatures": sum(len(signature) == 64 for signature in signatures)}))


if __name__ == "__main__":
    main()
