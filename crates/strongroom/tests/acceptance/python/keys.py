"""What the guide shows: a bare DefaultAzureCredential, and the checks of the SDK left on.

Called with the URL of an HSM. Prints one JSON object that the test compares.
"""

import hashlib
import json
import sys

from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import (
    CryptographyClient,
    EncryptionAlgorithm,
    KeyWrapAlgorithm,
    SignatureAlgorithm,
)


def signs(credential, key, algorithm, digest):
    """Signs in the HSM; the client verifies with the public key, and a changed digest must fail."""
    client = CryptographyClient(key, credential)
    signature = client.sign(algorithm, digest).signature
    good = client.verify(algorithm, digest, signature).is_valid
    bad = client.verify(algorithm, digest[::-1], signature).is_valid
    return good and not bad


def wraps(credential, key, algorithm):
    """Wraps a content key and takes it out again; unwrapping always happens in the HSM."""
    client = CryptographyClient(key, credential)
    content_key = bytes(range(32))
    wrapped = client.wrap_key(algorithm, content_key).encrypted_key
    return wrapped != content_key and client.unwrap_key(algorithm, wrapped).key == content_key


def main():
    url = sys.argv[1]
    credential = DefaultAzureCredential()
    keys = KeyClient(url, credential)
    digest = hashlib.sha256(b"strongroom").digest()
    rsa = keys.create_rsa_key("python-rsa", size=2048, hardware_protected=True)
    ec = keys.create_ec_key("python-ec", curve="P-256", hardware_protected=True)
    aes = keys.create_oct_key("python-aes", size=256, hardware_protected=True)
    gcm = CryptographyClient(aes, credential)
    sealed = gcm.encrypt(EncryptionAlgorithm.a256_gcm, b"text", additional_authenticated_data=b"context")
    opened = gcm.decrypt(
        EncryptionAlgorithm.a256_gcm,
        sealed.ciphertext,
        iv=sealed.iv,
        authentication_tag=sealed.tag,
        additional_authenticated_data=b"context",
    )
    result = {
        "kid_host": rsa.id.split("/")[2],
        "rsa_signs": signs(credential, rsa, SignatureAlgorithm.ps256, digest),
        "ec_signs": signs(credential, ec, SignatureAlgorithm.es256, digest),
        "rsa_wraps": wraps(credential, rsa, KeyWrapAlgorithm.rsa_oaep_256),
        "aes_wraps": wraps(credential, aes, KeyWrapAlgorithm.aes_256),
        "aes_encrypts": opened.plaintext == b"text",
        "names": sorted(item.name for item in keys.list_properties_of_keys()),
        "random_bytes": len(keys.get_random_bytes(24)),
    }
    deleted = keys.begin_delete_key("python-ec").result()
    result["deleted"] = deleted.recovery_id is not None
    keys.begin_recover_deleted_key("python-ec").wait()
    result["recovered"] = keys.get_key("python-ec").id == ec.id
    print(json.dumps(result))


if __name__ == "__main__":
    main()
