"""Wraps a key for a key exchange key, as a .byok file: an implementation of its own.

Called with the public key exchange key (PEM), its identifier, the key to wrap (PEM, or a file of 16, 24 or 32 raw bytes)
and the file to write. Needs `cryptography`, which the Azure CLI brings.
"""

import base64
import json
import os
import sys

from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import padding


def target_bytes(path):
    with open(path, "rb") as file:
        content = file.read()
    if not content.startswith(b"-----BEGIN"):
        return content
    key = serialization.load_pem_private_key(content, None)
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def main():
    exchange_path, kid, target_path, out = sys.argv[1:]
    with open(exchange_path, "rb") as file:
        exchange = serialization.load_pem_public_key(file.read())
    one_time = os.urandom(32)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
    ciphertext = exchange.encrypt(one_time, oaep) + keywrap.aes_key_wrap_with_padding(one_time, target_bytes(target_path))
    blob = {
        "schema_version": "1.0.0",
        "header": {"kid": kid, "alg": "dir", "enc": "CKM_RSA_AES_KEY_WRAP"},
        "ciphertext": base64.urlsafe_b64encode(ciphertext).rstrip(b"=").decode(),
        "generator": "make_byok.py",
    }
    with open(out, "w") as file:
        json.dump(blob, file)


if __name__ == "__main__":
    main()
