"""`CryptographyClient`: every algorithm the package knows.

With the right to read keys the client computes much by itself: encrypt, wrap and verify of RSA and EC keys with the
public key. A caller without that right sends everything to the service; so the chapter is walked twice.
"""

import os

from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import (
    CryptographyClient,
    EncryptionAlgorithm,
    KeyWrapAlgorithm,
    SignatureAlgorithm,
)

from keys import ASYMMETRIC, SYMMETRIC, create, digest, is_vault
from report import check, passed

CURVES = {"ES256": "P-256", "ES256K": "P-256K", "ES384": "P-384", "ES512": "P-521"}

# This version of the client computes these with a key that it makes up, when it was able to read an oct-HSM key.
MADE_UP_KEY = {"A256CBCPAD", "A128KW", "A192KW", "A256KW"}


def walk(url, credential):
    """As a caller who may read the keys."""
    vault = KeyClient(url, credential)
    walk_algorithms(url, lambda name: CryptographyClient(vault.get_key(name), credential), MADE_UP_KEY)


def walk_unread(url, credential):
    """As a caller who may use the keys that `KEY_IDS` names and read none of them."""
    ids = dict(pair.split("=", 1) for pair in os.environ["KEY_IDS"].split(","))
    walk_algorithms(url, lambda name: CryptographyClient(ids[name], credential), set())


def walk_algorithms(url, client_of, left_out):
    names = [name for name, _, _ in ASYMMETRIC + ([] if is_vault(url) else SYMMETRIC)]
    clients = {name: client_of(name) for name in names}
    for name, client in clients.items():
        for algorithm in SignatureAlgorithm:
            if fits_signature(name, algorithm.value):
                sign_and_verify(client, algorithm)
                passed("sign verify", name, algorithm.value)
        for algorithm in EncryptionAlgorithm:
            if algorithm.value not in left_out and fits_content(name, algorithm.value):
                encrypt_and_decrypt(client, algorithm)
                passed("encrypt decrypt", name, algorithm.value)
        for algorithm in KeyWrapAlgorithm:
            if algorithm.value not in left_out and fits_content(name, algorithm.value):
                wrap_and_unwrap(client, algorithm)
                passed("wrap unwrap", name, algorithm.value)


def fits_signature(name, algorithm):
    if algorithm in CURVES:
        return name == f"walk-ec-{CURVES[algorithm].lower()}"
    if algorithm.startswith("HS"):
        return name == "walk-oct-256"
    return name.startswith("walk-rsa-")


def fits_content(name, algorithm):
    if algorithm.startswith("RSA"):
        return name.startswith("walk-rsa-")
    if algorithm.startswith("CKM_"):
        return name == "walk-oct-256"
    return name == f"walk-oct-{algorithm[1:4]}"


def sign_and_verify(client, algorithm):
    value = digest(algorithm)
    signature = client.sign(algorithm, value).signature
    check(client.verify(algorithm, value, signature).is_valid, "the signature is good")
    other = bytes(byte ^ 1 for byte in value)
    check(not client.verify(algorithm, other, signature).is_valid, "it is not good for another digest")


def encrypt_and_decrypt(client, algorithm):
    text, extra = b"sixteen bytes ok", {}
    if "GCM" in algorithm.value:
        extra = {"additional_authenticated_data": b"context"}
    if "CBC" in algorithm.value:
        extra = {"iv": os.urandom(16)}
    sealed = client.encrypt(algorithm, text, **extra)
    if "GCM" in algorithm.value:
        extra.update(iv=sealed.iv, authentication_tag=sealed.tag)
    check(sealed.ciphertext != text, "the text is encrypted")
    check(client.decrypt(algorithm, sealed.ciphertext, **extra).plaintext == text, "and comes back")


def wrap_and_unwrap(client, algorithm):
    content_key = os.urandom(32)
    wrapped = client.wrap_key(algorithm, content_key).encrypted_key
    check(wrapped != content_key, "the key is wrapped")
    check(client.unwrap_key(algorithm, wrapped).key == content_key, "and comes back")


def sign_in_and_sign(url, credential):
    """The little that shows that a credential works: a key is made, and signs."""
    vault = KeyClient(url, credential)
    key = create(vault, "walk-credential", "EC", {"curve": "P-256"})
    sign_and_verify(CryptographyClient(key, credential), SignatureAlgorithm.es256)
    passed("sign verify", "walk-credential", "ES256")
