#!/usr/bin/env python3
"""Makes import.json: keys in parts and wrapped keys, by the Python package `cryptography` alone."""

import base64
import json
import os
import sys

import cryptography
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

CURVES = {"P-256": ec.SECP256R1(), "P-256K": ec.SECP256K1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


def text(value):
    """Base64url; a number in its shortest form, as some clients write it."""
    if isinstance(value, int):
        value = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def pkcs8(key):
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def rsa_jwk(key):
    private = key.private_numbers()
    public = private.public_numbers
    return {
        "kty": "RSA", "n": text(public.n), "e": text(public.e), "d": text(private.d), "p": text(private.p),
        "q": text(private.q), "dp": text(private.dmp1), "dq": text(private.dmq1), "qi": text(private.iqmp),
    }


def ec_jwk(curve, key):
    private = key.private_numbers()
    public = private.public_numbers
    return {"kty": "EC", "crv": curve, "x": text(public.x), "y": text(public.y), "d": text(private.private_value)}


def targets():
    for bits, exponent in [(2048, 65537), (3072, 65537), (4096, 65537), (2048, 3)]:
        key = rsa.generate_private_key(exponent, bits)
        yield f"RSA {bits}, e = {exponent}", rsa_jwk(key), pkcs8(key)
    for curve, parameters in CURVES.items():
        key = ec.generate_private_key(parameters)
        yield f"EC {curve}", ec_jwk(curve, key), pkcs8(key)
    # The number fits in fewer bytes than the field has.
    key = ec.derive_private_key(0x1234567890ABCDEF, CURVES["P-521"])
    yield "EC P-521, a short number", ec_jwk("P-521", key), pkcs8(key)
    for size in (16, 24, 32):
        key = os.urandom(size)
        yield f"oct {size * 8}", {"kty": "oct", "k": text(key)}, key


def wrap(exchange, target, one_time_bytes=32):
    """CKM_RSA_AES_KEY_WRAP: RSA-OAEP with SHA-1 of a one-time key, then RFC 5649 with that one."""
    one_time = os.urandom(one_time_bytes)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
    return exchange.public_key().encrypt(one_time, oaep) + keywrap.aes_key_wrap_with_padding(one_time, target)


def main():
    exchange_keys = [rsa.generate_private_key(65537, bits) for bits in (2048, 4096)]
    keys = []
    for number, (name, jwk, sealable) in enumerate(targets()):
        exchange = number % 2
        keys.append({
            "name": name,
            "jwk": jwk,
            "sealable": text(sealable),
            "exchange": exchange,
            "wrapped": text(wrap(exchange_keys[exchange], sealable, (32, 16, 24)[number % 3])),
        })
    made_with = f"generate.py, Python cryptography {cryptography.__version__}"
    vectors = {"made_with": made_with, "exchange": [text(pkcs8(key)) for key in exchange_keys], "keys": keys}
    json.dump(vectors, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
