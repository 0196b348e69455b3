"""Opens a security domain file with some custodians' private keys: an implementation of its own.

Called with the file, then pairs of certificate and private key. Prints {"tag": "hex", ...} of the secrets in it.
Needs `cryptography`, which the Azure CLI brings.
"""

import base64
import hashlib
import hmac
import json
import struct
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PRIME = 257


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def open_jwe(compact, content_key):
    """A256CBC-HS512 with the tag cut to 32 bytes; content_key gets the encrypted key and returns 64 bytes."""
    header, encrypted_key, iv, ciphertext, tag = compact.split(".")
    key = content_key(unbase64(encrypted_key))
    mac_key, aes_key = key[:32], key[32:]
    authenticated = header.encode() + unbase64(iv) + unbase64(ciphertext) + struct.pack(">Q", 8 * len(header))
    if not hmac.compare_digest(hmac.new(mac_key, authenticated, hashlib.sha512).digest()[:32], unbase64(tag)):
        raise ValueError("the tag does not fit")
    decryptor = Cipher(algorithms.AES(aes_key), modes.CBC(unbase64(iv))).decryptor()
    padded = decryptor.update(unbase64(ciphertext)) + decryptor.finalize()
    unpadder = padding.PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def open_share(domain, certificate_file, key_file):
    with open(certificate_file, "rb") as file:
        certificate = x509.load_pem_x509_certificate(file.read())
    with open(key_file, "rb") as file:
        key = serialization.load_pem_private_key(file.read(), None)
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    oaep = rsa_padding.OAEP(rsa_padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    for share in domain["SharedKeys"]["enc_shares"]:
        if share["x5t_256"] == thumbprint:
            return open_jwe(share["enc_key"], lambda encrypted: key.decrypt(encrypted, oaep))
    raise ValueError("no share for this certificate")


def combine(shares):
    """Lagrange interpolation at zero over GF(257), one polynomial a byte; a word is (x << 9) | value."""
    points = [[(word >> 9, word & 511) for (word,) in struct.iter_unpack("<H", share)] for share in shares]
    secret = bytearray()
    for column in zip(*points):
        total = 0
        for x, value in column:
            numerator = denominator = 1
            for other, _ in column:
                if other != x:
                    numerator = numerator * -other % PRIME
                    denominator = denominator * (x - other) % PRIME
            total += value * numerator * pow(denominator, -1, PRIME)
        secret.append(total % PRIME)
    return bytes(secret)


def entry_key(master, tag):
    """SP 800-108 in counter mode with HMAC-SHA-512: one block of 512 bits."""
    block = struct.pack(">I", 1) + tag.encode() + b"\0" + struct.pack(">I", 512)
    return hmac.new(master, block, hashlib.sha512).digest()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        domain = json.load(file)
    pairs = zip(sys.argv[2::2], sys.argv[3::2])
    master = combine([open_share(domain, certificate, key) for certificate, key in pairs])
    secrets = {"master": master.hex()}
    for entry in domain["EncData"]["data"]:
        tag = entry["tag"]
        secrets[tag] = open_jwe(entry["compact_jwe"], lambda _, tag=tag: entry_key(master, tag)).hex()
    print(json.dumps(secrets))


if __name__ == "__main__":
    main()
